//! Tests of several crates together; they own no code. See `sim/`.
