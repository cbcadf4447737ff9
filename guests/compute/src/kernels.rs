//! Work that computes and does nothing else, the same wherever it is compiled for.
//!
//! Each kernel returns a checksum of what it computed, so that no compiler can leave it out and so
//! that two runs can be compared. The numbers of rounds make a run a tenth of a second or so.

use std::hint::black_box;

/// A kernel, with the rounds that a benchmark gives it.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// What it is called.
    pub name: &'static str,
    /// Rounds of a run.
    pub rounds: u32,
    /// Does this many rounds and returns their checksum.
    pub run: fn(u32) -> u64,
}

/// All kernels.
pub const KERNELS: [Kernel; 6] = [
    Kernel { name: "matrix", rounds: 40, run: matrix },
    Kernel { name: "matrix-simd", rounds: 40, run: matrix_simd },
    Kernel { name: "sieve", rounds: 40, run: sieve },
    Kernel { name: "sha256", rounds: 200, run: sha256 },
    Kernel { name: "recursion", rounds: 36, run: recursion },
    Kernel { name: "json", rounds: 100, run: json },
];

/// Rows and columns: three matrices of this size fit the second-level cache.
const SIDE: usize = 192;

/// The product of two matrices of floating-point numbers.
fn matrix(rounds: u32) -> u64 {
    products(rounds)
}

/// The same, with the vector instructions that a module has to ask for.
fn matrix_simd(rounds: u32) -> u64 {
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    fn vectors(rounds: u32) -> u64 {
        products(rounds)
    }
    vectors(rounds)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it takes on the instructions of its caller")]
fn products(rounds: u32) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let cells = |seed: usize| (0..SIDE * SIDE).map(move |n| ((n * seed) % 17) as f64 * 0.25);
    let (a, b): (Vec<f64>, Vec<f64>) = (cells(7).collect(), cells(11).collect());
    let mut sum = 0.0;
    for _ in 0..rounds {
        let mut product = vec![0.0; SIDE * SIDE];
        multiply(black_box(&a), black_box(&b), &mut product);
        sum += product.iter().sum::<f64>();
    }
    sum.to_bits()
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it takes on the instructions of its caller")]
fn multiply(a: &[f64], b: &[f64], product: &mut [f64]) {
    for (row, line) in product.chunks_exact_mut(SIDE).enumerate() {
        for (step, other) in b.chunks_exact(SIDE).enumerate() {
            let factor = a[row * SIDE + step];
            for (cell, other) in line.iter_mut().zip(other) {
                *cell += factor * other;
            }
        }
    }
}

/// The primes below a million.
fn sieve(rounds: u32) -> u64 {
    const BELOW: usize = 1_000_000;
    let mut found = 0;
    for _ in 0..rounds {
        let mut composite = black_box(vec![false; BELOW]);
        for number in 2..1_000 {
            if !composite[number] {
                composite[number * number..].iter_mut().step_by(number).for_each(|c| *c = true);
            }
        }
        found += composite[2..].iter().filter(|composite| !**composite).count() as u64;
    }
    found
}

/// SHA-256's constants: the first bits of the cube roots of the first primes.
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];
/// Its state before the first block.
const H: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/// The compression of SHA-256 over 64 KiB, without padding.
fn sha256(rounds: u32) -> u64 {
    let data: Vec<u8> = (0..64_u32 << 10).map(|n| n.wrapping_mul(31).to_le_bytes()[1]).collect();
    let mut state = H;
    for _ in 0..rounds {
        black_box(&data).chunks_exact(64).for_each(|block| compress(&mut state, block));
    }
    u64::from(state[0]) << 32 | u64::from(state[7])
}

#[expect(clippy::many_single_char_names, reason = "the names of the standard")]
fn compress(state: &mut [u32; 8], block: &[u8]) {
    let mut w = [0_u32; 64];
    for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
    }
    for i in 16..64 {
        let s0 = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
        let s1 = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for i in 0..64 {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(K[i]).wrapping_add(w[i]);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
    }
    for (old, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *old = old.wrapping_add(new);
    }
}

/// Fibonacci's numbers by the book: `rounds` is which one.
fn recursion(rounds: u32) -> u64 {
    fn fibonacci(n: u32) -> u64 {
        if n < 2 { u64::from(n) } else { fibonacci(black_box(n) - 1) + fibonacci(n - 2) }
    }
    fibonacci(rounds)
}

/// Reads a document of 100 KB of JSON into a tree, and sums what is in it.
fn json(rounds: u32) -> u64 {
    let item = |n: u32| {
        format!(r#"{{"id": {n}, "name": "bee {n}", "tags": ["a\n", "b", null], "ok": true}}"#)
    };
    let items: Vec<_> = (0..1_500).map(item).collect();
    let document = format!("[{}]", items.join(", "));
    let read = |_| Reader { bytes: black_box(document.as_bytes()), at: 0 }.value().sum();
    (0..rounds).map(read).fold(0, u64::wrapping_add)
}

enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    fn sum(&self) -> u64 {
        match self {
            Self::Null => 1,
            Self::Bool(yes) => u64::from(*yes),
            Self::Number(number) => number.to_bits() >> 32,
            Self::Text(text) => text.len() as u64,
            Self::List(list) => list.iter().map(Self::sum).sum(),
            Self::Object(pairs) => pairs.iter().map(|(k, v)| k.len() as u64 + v.sum()).sum(),
        }
    }
}

/// Reads well-formed documents; what is malformed reads as something.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> u8 {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b',' | b':')) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied().unwrap_or(b']')
    }

    fn value(&mut self) -> Json {
        match self.peek() {
            b'n' => self.word(4, Json::Null),
            b't' => self.word(4, Json::Bool(true)),
            b'f' => self.word(5, Json::Bool(false)),
            b'"' => Json::Text(self.text()),
            b'[' => {
                self.at += 1;
                let mut list = Vec::new();
                while self.peek() != b']' {
                    list.push(self.value());
                }
                self.word(1, Json::List(list))
            }
            b'{' => {
                self.at += 1;
                let mut pairs = Vec::new();
                while !matches!(self.peek(), b'}' | b']') {
                    self.peek();
                    let name = self.text();
                    pairs.push((name, self.value()));
                }
                self.word(1, Json::Object(pairs))
            }
            _ => self.number(),
        }
    }

    fn word(&mut self, length: usize, value: Json) -> Json {
        self.at += length;
        value
    }

    fn text(&mut self) -> String {
        let mut text = Vec::new();
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    let escaped = self.bytes.get(self.at).copied().unwrap_or(b'"');
                    text.push(if escaped == b'n' { b'\n' } else { escaped });
                    self.at += 1;
                }
                byte => text.push(*byte),
            }
        }
        String::from_utf8(text).unwrap_or_default()
    }

    fn number(&mut self) -> Json {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'e'));
        let digits = &rest[..end.unwrap_or(rest.len())];
        self.at += digits.len().max(1);
        let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
        Json::Number(number.unwrap_or(0.0))
    }
}
