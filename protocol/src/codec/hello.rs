//! `hello.proto`: what each side says first.

use super::{
    DecodeError,
    common::{names, text},
    convert::Convert,
    wire::hello as wire,
};
use crate::{bounds::ID_BYTES_MAX, hello::Hello};

impl Convert for Hello {
    type Wire = wire::Hello;

    fn to_wire(&self) -> wire::Hello {
        let Self { protocol_min, protocol_max, build, features } = self;
        wire::Hello {
            protocol_min: *protocol_min,
            protocol_max: *protocol_max,
            build: build.clone(),
            features: features.clone(),
        }
    }

    fn from_wire(wire: wire::Hello) -> Result<Self, DecodeError> {
        if !(1..=wire.protocol_max).contains(&wire.protocol_min) {
            let why = format!("from 1 to protocol_max, {}, is allowed", wire.protocol_max);
            return Err(DecodeError::invalid(why).within("protocol_min"));
        }
        Ok(Self {
            protocol_min: wire.protocol_min,
            protocol_max: wire.protocol_max,
            build: text("build", ID_BYTES_MAX, wire.build)?,
            features: names("features", wire.features)?,
        })
    }
}
