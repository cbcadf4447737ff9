//! `skep module`: what can be told of a program before it runs.

use super::compile::REJECTED;
use crate::{
    args,
    client::{ask, connect},
    failure::{Failure, Result, Sentence},
    output,
    run::read_module,
    stdout, words,
};
use bytesize::ByteSize;
use serde::Serialize;
use skep_admission::Outline;
use skep_protocol::{
    Digest,
    operator::{Request, Response},
    task::Grants,
};
use skep_shell::OwnFolder;
use std::{
    fmt::Write as _,
    process::{self, Stdio},
    time::Instant,
};

/// Stores a module.
pub(super) async fn push(args: args::Push) -> Result {
    let bytes = read_module(&args.file)?;
    let pushed = async {
        let cluster = connect(&args.client).await?;
        let digest = cluster.push(&bytes).await?;
        cluster.close().await;
        Ok(digest)
    };
    let told = |failure: Failure| failure.told_as(args.client.output);
    let digest: Digest = pushed.await.map_err(told)?;
    match args.client.output {
        args::Format::Json => {
            let pushed = Pushed { digest: digest.to_string(), bytes: bytes.len() };
            output::json(&pushed)?;
        }
        args::Format::Table => stdout::print(&digest.to_string())?,
    }
    Ok(())
}

#[derive(Serialize)]
struct Pushed {
    digest: String,
    bytes: usize,
}

/// Lists what is stored.
pub(super) async fn list(client: args::Client) -> Result {
    let take = |answer| match answer {
        Response::Modules(views) => Some(views.modules),
        _ => None,
    };
    let rows = ask(&client, Request::Modules, take).await?;
    Ok(output::list(client.output, &rows)?)
}

/// Shows a module from outside.
pub(super) async fn inspect(args: args::Inspect) -> Result {
    let told = |failure: Failure| failure.told_as(args.client.output);
    let bytes = bytes(&args).await.map_err(told)?;
    let portrait = Portrait::of(&words::shown(&args.module), &bytes).map_err(told)?;
    match args.client.output {
        args::Format::Json => output::json(&portrait)?,
        args::Format::Table => stdout::print(&portrait.words())?,
    }
    Ok(())
}

async fn bytes(args: &args::Inspect) -> Result<Vec<u8>> {
    let Ok(digest) = args.module.to_str().unwrap_or_default().parse::<Digest>() else {
        return read_module(&args.module);
    };
    let cluster = connect(&args.client).await?;
    let bytes = cluster.fetch(digest).await?;
    cluster.close().await;
    Ok(bytes)
}

/// What is shown of a module.
#[derive(Debug, Serialize)]
struct Portrait {
    digest: String,
    kind: &'static str,
    bytes: usize,
    code_bytes: u64,
    data_bytes: u64,
    functions: u64,
    memory_bytes_min: u64,
    /// None: all that its task is granted.
    memory_bytes_max: Option<u64>,
    debug_info: bool,
    imports: Vec<String>,
    exports: Vec<String>,
    /// What stands between it and a run without any grant.
    lacks: Option<String>,
}

impl Portrait {
    fn of(name: &str, bytes: &[u8]) -> Result<Self> {
        let outline = Outline::of(bytes).map_err(|error| Sentence(format!("{name}: {error}")))?;
        let Outline { needs, exports, functions, memories, code_bytes, data_bytes, .. } = outline;
        let bounds: Option<Vec<u64>> = memories.iter().map(|memory| memory.bytes_max).collect();
        Ok(Self {
            digest: Digest::of(bytes).to_string(),
            kind: if needs.is_component() { "component" } else { "module" },
            bytes: bytes.len(),
            code_bytes,
            data_bytes,
            functions,
            memory_bytes_min: memories.iter().map(|memory| memory.bytes_min).sum(),
            memory_bytes_max: bounds.map(|bounds| bounds.iter().sum()),
            debug_info: outline.has_debug_info,
            imports: needs.imports().iter().map(ToString::to_string).collect(),
            exports: exports.iter().map(|(name, kind)| format!("{kind} {name}")).collect(),
            lacks: skep_admission::lacking_features(bytes)
                .or_else(|| needs.lacking(&Grants::default()).map(|lacking| lacking.to_string())),
        })
    }

    fn words(&self) -> String {
        let size = |bytes: u64| ByteSize(bytes).to_string();
        let grows = self.memory_bytes_max.map_or("what its task is granted".into(), size);
        let mut text = format!(
            "digest     {}\n\
             kind       {}\n\
             size       {}: code {}, data {}, {} functions\n\
             memory     {} at the start, grows to {grows}\n\
             lines      {}\n\
             needs      {}\n",
            self.digest,
            self.kind,
            size(self.bytes as u64),
            size(self.code_bytes),
            size(self.data_bytes),
            self.functions,
            size(self.memory_bytes_min),
            if self.debug_info { "traps name lines of its source" } else { "not known" },
            self.lacks.as_deref().unwrap_or("no grant but those of its arguments and files"),
        );
        for (heading, names) in [("imports", &self.imports), ("exports", &self.exports)] {
            for (number, name) in names.iter().enumerate() {
                let heading = if number == 0 { heading } else { "" };
                // A String takes all that is written to it.
                let _ = writeln!(text, "{heading:<10} {name}");
            }
        }
        text.trim_end().to_owned()
    }
}

/// Compiles a module in a process of its own, as an agent would.
pub(super) fn compile(args: &args::TryCompile) -> Result {
    let bytes = read_module(&args.file)?;
    let folder = OwnFolder::new("compile-")?;
    let artifact = folder.path().join("artifact");
    let mut compiler = process::Command::new(std::env::current_exe()?);
    compiler.arg("compile").stdin(Stdio::null());
    if args.deterministic {
        compiler.arg("--deterministic");
    }
    let begun = Instant::now();
    let ended = compiler.arg(&args.file).arg(&artifact).output()?;
    let took = begun.elapsed();
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        let why = said.lines().last().unwrap_or_default();
        let why = why.strip_prefix("skep: ").unwrap_or(why);
        let why = if why.is_empty() { ended.status.to_string() } else { why.to_owned() };
        // Only with this code does the compiler blame the module.
        let is_rejected = ended.status.code() == Some(REJECTED.into());
        let verdict = if is_rejected { "module rejected" } else { "not compiled" };
        let why = format!("{}: {verdict}: {why}", args.file.display());
        return Err(Failure::from(Sentence(why)).told_as(args.output));
    }
    let cost = Cost {
        module_bytes: bytes.len() as u64,
        artifact_bytes: artifact.metadata()?.len(),
        seconds: took.as_secs_f64(),
    };
    match args.output {
        args::Format::Json => output::json(&cost)?,
        args::Format::Table => stdout::print(&format!(
            "{} became {} of machine code in {:.2} s",
            ByteSize(cost.module_bytes),
            ByteSize(cost.artifact_bytes),
            cost.seconds
        ))?,
    }
    Ok(())
}

/// What compiling a module took.
#[derive(Serialize)]
struct Cost {
    module_bytes: u64,
    artifact_bytes: u64,
    seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portrait_says_what_a_module_is_like_and_needs() {
        let bytes = wat::parse_str(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
                (memory (export "memory") 1)
                (func (export "_start")))"#,
        );
        let portrait = Portrait::of("a.wasm", &bytes.expect("text")).expect("it can be read");
        let words = portrait.words();
        let lines: Vec<&str> = words.lines().skip(1).collect();
        assert_eq!(lines[0], "kind       module");
        assert_eq!(lines[2], "memory     64.0 KiB at the start, grows to what its task is granted");
        assert_eq!(lines[4], "needs      no grant but those of its arguments and files");
        assert_eq!(lines[5], "imports    proc_exit of wasi_snapshot_preview1");
        assert_eq!(lines[6..], ["exports    memory memory", "           function _start"]);
    }

    #[test]
    fn a_portrait_of_what_cannot_run_says_why() {
        let bytes = wat::parse_str(r#"(module (import "env" "fork" (func)))"#).expect("text");
        let lacks = Portrait::of("a.wasm", &bytes).expect("it can be read").lacks.expect("a lack");
        assert!(lacks.starts_with("it imports fork of env, which skep does not provide"));
    }
}
