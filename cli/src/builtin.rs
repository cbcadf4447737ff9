//! The frameworks that come with skep, as the guests that they are.

use flate2::read::GzDecoder;
use std::io::Read as _;

/// The module of that name, if one comes with skep.
pub(crate) fn module(name: &str) -> Option<Vec<u8>> {
    let packed: &[u8] = match name {
        "batch" => include_bytes!("../../frameworks/batch.wasm.gz"),
        "cron" => include_bytes!("../../frameworks/cron.wasm.gz"),
        "service" => include_bytes!("../../frameworks/service.wasm.gz"),
        _ => return None,
    };
    let mut module = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut module).ok()?;
    Some(module)
}
