//! Compiles `proto/*.proto` with protox, so that no `protoc` is needed on the machine.

use std::{env, io};

const PROTOS: [&str; 5] = [
    "proto/agent.proto",
    "proto/data.proto",
    "proto/framework.proto",
    "proto/hello.proto",
    "proto/operator.proto",
];

/// What agent and executor say to each other; a guest has neither.
const OF_MACHINES: &str = "proto/executor.proto";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let of_machines = env::var_os("CARGO_CFG_UNIX").is_some().then_some(OF_MACHINES);
    let descriptors = protox::compile(PROTOS.into_iter().chain(of_machines), ["proto"])
        .map_err(io::Error::other)?;
    prost_build::Config::new()
        // Views are shown as JSON as they are.
        .type_attribute(".skep.operator.v1", "#[derive(serde::Serialize)]")
        // Requests lie beside the views, and some hold these.
        .type_attribute("skep.v1.Resources", "#[derive(serde::Serialize)]")
        // It is no view: people see what was made of it.
        .field_attribute("skep.operator.v1.Response.kind.recorded", "#[serde(skip)]")
        // Ordered maps, so that equal messages are equal bytes.
        .btree_map(["."])
        .include_file("packages.rs")
        .compile_fds(descriptors)
}
