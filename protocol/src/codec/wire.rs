//! The messages that are generated from `proto/*.proto`, which documents them.
//!
//! Nothing outside of [`codec`](super) sees them, but for the views of `operator.proto`.

#[cfg(unix)]
pub(crate) use packages::skep::executor::v1 as executor;
pub(crate) use packages::skep::{
    agent::v1 as agent, data::v1 as data, framework::v1 as framework, hello::v1 as hello,
    operator::v1 as operator, v1 as common,
};

#[expect(missing_docs, reason = "documented in proto/*.proto")]
#[expect(unreachable_pub, reason = "the generator knows no other visibility")]
#[expect(clippy::large_enum_variant, reason = "each is made, read once and dropped")]
mod packages {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}
