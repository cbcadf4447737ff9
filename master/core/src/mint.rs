//! New ids, from a seed: the same seed gives the same ids.
//!
//! Not secret: an id names, it does not admit.

use skep_protocol::{AgentId, AllocationId, FrameworkId, OfferId};

#[derive(Debug)]
pub(crate) struct Mint {
    state: u64,
    offers: u64,
    allocations: u64,
}

impl Mint {
    pub(crate) const fn new(seed: u64) -> Self {
        let mut mint = Self { state: seed, offers: 0, allocations: 0 };
        // The upper half is the run's own, so that no id of an earlier run is ever valid; the
        // lower half counts.
        mint.offers = mint.next() & !0xffff_ffff;
        mint.allocations = mint.next() & !0xffff_ffff;
        mint
    }

    pub(crate) fn agent(&mut self, is_taken: impl Fn(&AgentId) -> bool) -> AgentId {
        loop {
            let id = AgentId::new(format!("a-{}", self.hex())).expect("its alphabet fits");
            if !is_taken(&id) {
                return id;
            }
        }
    }

    pub(crate) fn framework(&mut self, is_taken: impl Fn(&FrameworkId) -> bool) -> FrameworkId {
        loop {
            let id = FrameworkId::new(format!("f-{}", self.hex())).expect("its alphabet fits");
            if !is_taken(&id) {
                return id;
            }
        }
    }

    pub(crate) const fn offer(&mut self) -> OfferId {
        self.offers = self.offers.wrapping_add(1);
        OfferId(self.offers)
    }

    /// `is_taken` by what agents brought along from an earlier run.
    pub(crate) fn allocation(&mut self, is_taken: impl Fn(&AllocationId) -> bool) -> AllocationId {
        loop {
            self.allocations = self.allocations.wrapping_add(1);
            let id = AllocationId(self.allocations);
            if !is_taken(&id) {
                return id;
            }
        }
    }

    /// Eight hex digits.
    pub(crate) fn hex(&mut self) -> String {
        format!("{:08x}", self.next() >> 32)
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): tiny, and every seed is a good one.
    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
