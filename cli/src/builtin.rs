//! The frameworks that come with skep, as the guests that they are.

/// The module of that name, if one comes with skep.
pub(crate) fn module(name: &str) -> Option<&'static [u8]> {
    Some(match name {
        "batch" => include_bytes!("../../frameworks/batch.wasm"),
        "cron" => include_bytes!("../../frameworks/cron.wasm"),
        "service" => include_bytes!("../../frameworks/service.wasm"),
        _ => return None,
    })
}
