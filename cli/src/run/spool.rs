//! What is to be printed later, in files of this machine that have no name.
//!
//! Outputs of tasks are collected as the tasks end and printed in the order of the job; what is
//! between the two lies here, so that a slow first task costs no memory. A file is given back when
//! all in it has been read. Always holds: what was added comes out whole, or an error says why not.

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt as _};

/// Bytes of one file: given back often, and few files in all.
const SEGMENT_BYTES: u64 = 16 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Spool {
    segments: BTreeMap<u32, Segment>,
    /// The one that is written to.
    last: u32,
}

#[derive(Debug)]
struct Segment {
    file: File,
    end: u64,
    /// Of what was added and not taken out.
    live_bytes: u64,
}

/// Where something lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    segment: u32,
    len: u32,
    offset: u64,
}

impl Spool {
    /// How many bytes of files it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.end).sum()
    }

    /// Adds something of less than 4 GiB.
    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<Extent> {
        let len = u32::try_from(bytes.len()).map_err(|_| io::Error::other("it is too long"))?;
        let is_full = |segment: &Segment| segment.end >= SEGMENT_BYTES;
        if self.segments.get(&self.last).is_none_or(is_full) {
            self.last += 1;
            let segment = Segment { file: tempfile::tempfile()?, end: 0, live_bytes: 0 };
            self.segments.insert(self.last, segment);
        }
        let segment = self.segments.get_mut(&self.last).ok_or(io::ErrorKind::NotFound)?;
        // What a failed write leaves behind the end is written over.
        segment.file.write_all_at(bytes, segment.end)?;
        let extent = Extent { segment: self.last, len, offset: segment.end };
        segment.end += u64::from(len);
        segment.live_bytes += u64::from(len);
        Ok(extent)
    }

    /// Takes something out.
    pub(super) fn take(&mut self, extent: Extent) -> io::Result<Vec<u8>> {
        if extent.len == 0 {
            return Ok(Vec::new());
        }
        let segment = self.segments.get_mut(&extent.segment).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; extent.len as usize];
        segment.file.read_exact_at(&mut bytes, extent.offset)?;
        segment.live_bytes -= u64::from(extent.len);
        if segment.live_bytes == 0 {
            self.segments.remove(&extent.segment);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_any_order_and_its_files_are_given_back() {
        let mut spool = Spool::default();
        let text = |number: usize| vec![u8::try_from(number % 251).expect("small"); 1 << 20];
        let extents: Vec<_> = (0..40).map(|n| spool.add(&text(n)).expect("added")).collect();
        assert_eq!((spool.bytes(), spool.segments.len()), (40 << 20, 3));
        for number in (0..40).rev() {
            assert_eq!(spool.take(extents[number]).expect("taken"), text(number));
        }
        assert_eq!((spool.bytes(), spool.segments.len()), (0, 0));
        let (empty, one) = (spool.add(b"").expect("added"), spool.add(b"1").expect("added"));
        assert_eq!(spool.take(one).expect("taken"), b"1");
        assert_eq!(spool.take(empty).expect("taken"), b"");
    }
}
