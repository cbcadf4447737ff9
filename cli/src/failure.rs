//! How a command fails: in words on stderr, with the whole chain of causes, and with a code.

use crate::{args::Format, run::exit, stdout};
use std::{error::Error, fmt, process::ExitCode};

/// What a command comes to.
pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// A command that failed by itself; a guest that fails is an outcome.
#[derive(Debug)]
pub(crate) struct Failure {
    error: anyhow::Error,
    code: Option<u8>,
    format: Format,
}

impl Failure {
    /// The same failure, told as JSON if that is asked for.
    pub(crate) fn told_as(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// The same failure with another exit code.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The same failure with this exit code, unless it has one of its own.
    pub(crate) fn or_code(self, code: u8) -> Self {
        Self { code: self.code.or(Some(code)), ..self }
    }

    /// Says what went wrong; nothing if it is that nobody reads any more.
    pub(crate) fn tell(&self) {
        if stdout::is_reader_gone(&self.error) {
            return;
        }
        let message = format!("{:#}", self.error);
        stdout::say(&match self.format {
            Format::Table => format!("skep: {message}\n"),
            Format::Json => {
                format!("{}\n", serde_json::json!({ "error": { "message": message } }))
            }
        });
    }

    /// What the command exits with.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code.unwrap_or(1))
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let code = stdout::is_reader_gone(&error).then_some(exit::READER_GONE);
        Self { error, code, format: Format::Table }
    }
}

/// A failure that is all told in one sentence.
#[derive(Debug)]
pub(crate) struct Sentence(pub(crate) String);

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Sentence {}
