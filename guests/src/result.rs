//! Returns its arguments, joined by spaces, as its result, and reports each as progress.

use skep_guest::{HostError, progress, set_result};
use std::env;

fn main() -> Result<(), HostError> {
    let words: Vec<String> = env::args().skip(1).collect();
    for (place, word) in words.iter().enumerate() {
        progress(place as u64 + 1, words.len() as u64, word)?;
    }
    set_result(words.join(" ").as_bytes())
}
