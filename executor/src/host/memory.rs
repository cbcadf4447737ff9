//! The guest's memory by its own addresses: unsigned, though Wasm's types are not, and checked.

use std::ops::Range;

/// `length` bytes at `pointer`, if they lie within the memory.
pub(super) fn range(memory: &[u8], pointer: i32, length: i32) -> Option<Range<usize>> {
    let start = usize::try_from(pointer.cast_unsigned()).ok()?;
    let length = usize::try_from(length.cast_unsigned()).ok()?;
    let end = start.checked_add(length)?;
    (end <= memory.len()).then_some(start..end)
}

/// The bytes there.
pub(super) fn bytes(memory: &[u8], pointer: i32, length: i32) -> Option<&[u8]> {
    range(memory, pointer, length).map(|range| &memory[range])
}

/// The number there, of four bytes.
pub(super) fn u32_at(memory: &[u8], pointer: i32) -> Option<u32> {
    let bytes = bytes(memory, pointer, 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes))
}

/// The first buffer of a list of them that is not empty: the one that a call of preview 1 uses.
pub(super) fn first_buffer(memory: &[u8], list: i32, count: i32) -> Option<Range<usize>> {
    let list = bytes(memory, list, count.checked_mul(8)?)?;
    let word = |bytes: &[u8]| i32::from_le_bytes(bytes.try_into().expect("four bytes"));
    let buffers = list.chunks_exact(8).map(|entry| (word(&entry[..4]), word(&entry[4..])));
    let (pointer, length) = buffers.into_iter().find(|(_, length)| *length != 0)?;
    range(memory, pointer, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_not_there() {
        let memory = [0; 10];
        assert_eq!(range(&memory, 2, 8), Some(2..10));
        assert_eq!(range(&memory, 2, 9), None);
        assert_eq!(range(&memory, -1, 1), None);
        assert_eq!(range(&memory, 0, -1), None);
        assert_eq!(u32_at(&memory, 7), None);
    }

    #[test]
    fn the_first_buffer_is_the_first_that_is_not_empty() {
        let words = [100, 0, 16, 4, 0, 4_i32];
        let memory: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(first_buffer(&memory, 0, 2), Some(16..20));
        assert_eq!(first_buffer(&memory, 0, 1), None);
        assert_eq!(first_buffer(&memory, 0, i32::MAX), None);
    }
}
