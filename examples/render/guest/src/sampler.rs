//! Random numbers that depend on nothing but pixel, sample and their place in the path.
//!
//! A tile is the same bytes on every machine, in every order of tiles, in every attempt. Within a
//! pixel the samples are spread evenly (the R2 sequence, shuffled and shifted anew for each pair),
//! which halves the noise of independent numbers.

/// The numbers of one path.
pub(crate) struct Sampler {
    pixel: u32,
    sample: u32,
    pair: u32,
}

impl Sampler {
    /// The numbers of path `sample` through `pixel`.
    pub(crate) fn new(pixel: u32, sample: u32) -> Self {
        Self { pixel: hash(pixel), sample, pair: 0 }
    }

    /// The next two numbers, each from 0 up to 1.
    pub(crate) fn pair(&mut self) -> (f32, f32) {
        self.pair += 1;
        let key = hash(self.pixel ^ self.pair.wrapping_mul(0x9e37_79b9));
        // Exchanging neighbours in the order of samples keeps each power of two of them together,
        // yet no two pairs of a path walk in step.
        let place = self.sample ^ (key & 15);
        // 2^32 divided by the plastic number and by its square.
        let first = hash(key).wrapping_add(place.wrapping_mul(3_242_174_889));
        let second = hash(key ^ 0x5bd1_e995).wrapping_add(place.wrapping_mul(2_447_445_414));
        (unit(first), unit(second))
    }
}

/// Mixes the bits of a number; equal numbers give equal results, near ones unlike results.
pub(crate) fn hash(number: u32) -> u32 {
    let mut x = number.wrapping_add(0x9e37_79b9);
    x = (x ^ (x >> 16)).wrapping_mul(0x21f0_aaad);
    x = (x ^ (x >> 15)).wrapping_mul(0x735a_2d97);
    x ^ (x >> 15)
}

/// A number from 0 up to 1 from the upper 24 bits, as many as an `f32` holds.
pub(crate) fn unit(bits: u32) -> f32 {
    (bits >> 8) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_path_draws_the_same_numbers() {
        let draw = |pixel, sample| {
            let mut sampler = Sampler::new(pixel, sample);
            [sampler.pair(), sampler.pair()]
        };
        assert_eq!(draw(7, 3), draw(7, 3));
        assert_ne!(draw(7, 3), draw(7, 4));
        assert_ne!(draw(7, 3), draw(8, 3));
    }

    #[test]
    fn sixteen_samples_fill_the_square_evenly() {
        for pixel in 0..50 {
            let mut quarters = [0; 4];
            for sample in 0..16 {
                let (x, y) = Sampler::new(pixel, sample).pair();
                assert!((0.0..1.0).contains(&x) && (0.0..1.0).contains(&y));
                quarters[usize::from(x < 0.5) * 2 + usize::from(y < 0.5)] += 1;
            }
            assert!(quarters.iter().all(|count| (2..=6).contains(count)), "{quarters:?}");
        }
    }
}
