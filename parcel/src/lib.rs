//! Files and folders on their way into a task and out of it.
//!
//! A file is a blob as it is. A folder, or all that a name with `*` and `?` stands for, is packed
//! as a tar, always the same one for the same content: names in their order, no times, no owners.
//! Always holds: no link is followed or made, on either way, so that nothing is read or written
//! outside of the [`Folder`] that was handed in; what a tar takes is bounded by the [`Budget`].

mod folder;
mod pack;
mod unpack;

pub use folder::Folder;
pub use pack::{PackError, Packed, pack, pack_exactly};
pub use unpack::{Budget, UnpackError, unpack};

/// Folders within each other. Each level has an open file while it is packed.
const DEPTH_MAX: usize = 100;
/// Bytes copied at a time.
const PIECE_BYTES: usize = 64 << 10;
