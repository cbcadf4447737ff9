//! For code inside the sandbox: which task am I, how far have I come, what is my result.
//!
//! A guest is an ordinary WASI program. It needs this crate only to read its [`Context`] in typed
//! form, to report [`progress`], to hand a value to its framework with [`set_result`], and for what
//! its policies go by ([`alive`], [`is_cancelled`], [`checkpoint`], [`restored`]); a program
//! that knows nothing of skep runs as well. The crate depends on nothing and knows no other crate
//! of skep: the border that it crosses is a handful of environment names and host functions. Only
//! with the feature `framework`, for guests that are schedulers, it brings the scheduler's words
//! and the wire's messages along.
//!
//! It compiles for every target, so that a guest can be tested as a native program. There, and in
//! any other WASI runtime that starts it, a context is absent; outside of Wasm the two calls answer
//! [`HostError::Absent`].
//!
//! ```
//! let name = match skep_guest::Context::current() {
//!     Ok(context) => format!("task {} on {}", context.task, context.agent),
//!     Err(_) => "a program on its own".to_owned(),
//! };
//! let reported = skep_guest::progress(1, 10, &name);
//! assert_eq!(reported, Err(skep_guest::HostError::Absent));
//! ```

mod context;
#[cfg(feature = "framework")]
pub mod framework;
mod host;

pub use context::{Context, ContextError};
pub use host::{
    HostError, alive, checkpoint, is_cancelled, progress, receive, restored, send, set_result,
    sleep_unless_cancelled,
};
