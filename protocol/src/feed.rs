//! Standard input that is streamed, on its last way: how an agent writes it into the pipe that a
//! guest's executor reads.
//!
//! A pipe ends in the same way whether all was written or its writer died. So the bytes come in
//! frames: a length of four bytes, the highest first, and as many bytes. A frame without bytes is
//! the end. A pipe that ends without it was cut off, which the guest is told.

use crate::bounds::FEED_FRAME_BYTES_MAX;

/// The length of a frame, before its bytes.
pub const HEAD_BYTES: usize = 4;
/// The frame behind the last bytes.
pub const END: [u8; HEAD_BYTES] = [0; HEAD_BYTES];

/// What stands before so many bytes.
///
/// # Panics
/// If they do not fit a frame.
pub fn head(bytes: usize) -> [u8; HEAD_BYTES] {
    assert!((1..=FEED_FRAME_BYTES_MAX).contains(&bytes), "{bytes} bytes are no frame");
    u32::try_from(bytes).expect("a frame is small").to_be_bytes()
}

/// How many bytes follow a head: none if it is the end.
///
/// # Errors
/// The length, if no agent writes such a frame.
pub fn length(head: [u8; HEAD_BYTES]) -> Result<usize, u32> {
    let length = u32::from_be_bytes(head);
    match usize::try_from(length) {
        Ok(bytes) if bytes <= FEED_FRAME_BYTES_MAX => Ok(bytes),
        _ => Err(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_many_bytes_follow() {
        assert_eq!(head(0x0102), [0, 0, 1, 2]);
        assert_eq!(length(head(FEED_FRAME_BYTES_MAX)), Ok(FEED_FRAME_BYTES_MAX));
        assert_eq!(length(END), Ok(0));
        assert_eq!(length([0, 1, 0, 1]), Err(0x0001_0001));
    }
}
