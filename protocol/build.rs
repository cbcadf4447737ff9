//! Compiles `proto/*.proto` with protox, so that no `protoc` is needed on the machine.

use std::io;

const PROTOS: [&str; 6] = [
    "proto/agent.proto",
    "proto/data.proto",
    "proto/executor.proto",
    "proto/framework.proto",
    "proto/hello.proto",
    "proto/operator.proto",
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"]).map_err(io::Error::other)?;
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
