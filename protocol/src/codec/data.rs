//! `data.proto`: requests with a stream of their own, and the headers of streams.

use super::{
    DecodeError,
    common::{sentence, text},
    convert::{Convert, at_most, convert_enum, known, read, required},
    wire::data::{self as wire, output_piece, request, response, stream_header},
};
use crate::{
    bounds::{ID_BYTES_MAX, OUTPUT_TASKS_MAX},
    data::{Follow, LogStream, OutputPart, OutputPiece, Request, Response, StreamHeader},
};

impl Convert for Request {
    type Wire = wire::Request;

    fn to_wire(&self) -> wire::Request {
        use request::{Backup, Feed, FetchBlob, Host, Join, Kind, PutBlob, ReadLog, ReadOutputs};
        let kind = match self {
            Self::Join { secret, csr, name } => {
                Kind::Join(Join { secret: secret.clone(), csr: csr.clone(), name: name.clone() })
            }
            Self::PutBlob { digest, size } => {
                Kind::PutBlob(PutBlob { digest: digest.to_wire(), size_bytes: *size })
            }
            Self::FetchBlob { digest } => Kind::FetchBlob(FetchBlob { digest: digest.to_wire() }),
            Self::ReadLog { key, stream, offset, follow, stream_id } => Kind::ReadLog(ReadLog {
                key: Some(key.to_wire()),
                stream: stream.to_wire(),
                offset_bytes: *offset,
                follow: follow.to_wire(),
                stream_id: *stream_id,
            }),
            Self::ReadOutputs { agent, framework, tasks, stream_id } => {
                let named = tasks.iter().map(|(task, attempt)| request::read_outputs::Attempt {
                    task: task.to_wire(),
                    attempt: attempt.to_wire(),
                });
                Kind::ReadOutputs(ReadOutputs {
                    agent: agent.to_wire(),
                    framework: framework.to_wire(),
                    tasks: named.collect(),
                    stream_id: *stream_id,
                })
            }
            Self::Backup { blobs, stream_id } => {
                Kind::Backup(Backup { blobs: *blobs, stream_id: *stream_id })
            }
            Self::Host { key } => Kind::Host(Host { key: Some(key.to_wire()) }),
            Self::Feed { key } => Kind::Feed(Feed { key: Some(key.to_wire()) }),
            Self::Operator(request) => Kind::Operator(request.to_wire()),
        };
        wire::Request { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Request) -> Result<Self, DecodeError> {
        use request::Kind;
        Ok(match known(wire.kind)? {
            Kind::Join(m) => Self::Join {
                secret: m.secret,
                csr: m.csr,
                name: text("join.name", ID_BYTES_MAX, m.name)?,
            },
            Kind::PutBlob(m) => {
                Self::PutBlob { digest: read("put_blob.digest", m.digest)?, size: m.size_bytes }
            }
            Kind::FetchBlob(m) => Self::FetchBlob { digest: read("fetch_blob.digest", m.digest)? },
            Kind::ReadLog(m) => Self::ReadLog {
                key: required("read_log.key", m.key)?,
                stream: read("read_log.stream", m.stream)?,
                offset: m.offset_bytes,
                follow: read("read_log.follow", m.follow)?,
                stream_id: m.stream_id,
            },
            Kind::ReadOutputs(m) => {
                let tasks = at_most("read_outputs.tasks", OUTPUT_TASKS_MAX, m.tasks)?;
                let named = tasks
                    .into_iter()
                    .map(|named| Ok((read("task", named.task)?, read("attempt", named.attempt)?)));
                let named: Result<Vec<_>, DecodeError> = named.collect();
                Self::ReadOutputs {
                    agent: read("read_outputs.agent", m.agent)?,
                    framework: read("read_outputs.framework", m.framework)?,
                    tasks: named.map_err(|error| error.within("read_outputs.tasks"))?,
                    stream_id: m.stream_id,
                }
            }
            Kind::Backup(m) => Self::Backup { blobs: m.blobs, stream_id: m.stream_id },
            Kind::Host(m) => Self::Host { key: required("host.key", m.key)? },
            Kind::Feed(m) => Self::Feed { key: required("feed.key", m.key)? },
            Kind::Operator(m) => Self::Operator(read("operator", m)?),
        })
    }
}

impl Convert for OutputPiece {
    type Wire = wire::OutputPiece;

    fn to_wire(&self) -> wire::OutputPiece {
        use output_piece::{Complete, Kind};
        let kind = match &self.part {
            OutputPart::Stdout(bytes) => Kind::Stdout(bytes.clone()),
            OutputPart::Stderr(bytes) => Kind::Stderr(bytes.clone()),
            OutputPart::Complete => Kind::Complete(Complete {}),
            OutputPart::Unreadable { why } => Kind::Unreadable(why.clone()),
        };
        wire::OutputPiece { task: self.task, kind: Some(kind) }
    }

    fn from_wire(wire: wire::OutputPiece) -> Result<Self, DecodeError> {
        use output_piece::Kind;
        let part = match known(wire.kind)? {
            Kind::Stdout(bytes) => OutputPart::Stdout(bytes),
            Kind::Stderr(bytes) => OutputPart::Stderr(bytes),
            Kind::Complete(_) => OutputPart::Complete,
            Kind::Unreadable(why) => OutputPart::Unreadable { why: sentence(&why) },
        };
        Ok(Self { task: wire.task, part })
    }
}

convert_enum!(LogStream, wire::LogStream { Stdout, Stderr, Core });
convert_enum!(Follow, wire::Follow { No, UntilEnded });

impl Convert for Response {
    type Wire = wire::Response;

    fn to_wire(&self) -> wire::Response {
        use response::{Fed, Hosted, Joined, Kind, Refused, Send, Sending, Stored};
        let kind = match self {
            Self::Joined { certificate, authority } => Kind::Joined(Joined {
                certificate: certificate.clone(),
                authority: authority.clone(),
            }),
            Self::Send => Kind::Send(Send {}),
            Self::Stored => Kind::Stored(Stored {}),
            Self::Sending { size } => Kind::Sending(Sending { size_bytes: *size }),
            Self::Hosted => Kind::Hosted(Hosted {}),
            Self::Fed => Kind::Fed(Fed {}),
            Self::Operator(response) => Kind::Operator(response.to_wire()),
            Self::Refused { rejection } => {
                Kind::Refused(Refused { rejection: Some(rejection.to_wire()) })
            }
        };
        wire::Response { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Response) -> Result<Self, DecodeError> {
        use response::Kind;
        Ok(match known(wire.kind)? {
            Kind::Joined(m) => Self::Joined { certificate: m.certificate, authority: m.authority },
            Kind::Send(_) => Self::Send,
            Kind::Stored(_) => Self::Stored,
            Kind::Hosted(_) => Self::Hosted,
            Kind::Fed(_) => Self::Fed,
            Kind::Sending(m) => Self::Sending { size: m.size_bytes },
            Kind::Operator(m) => Self::Operator(read("operator", m)?),
            Kind::Refused(m) => {
                Self::Refused { rejection: required("refused.rejection", m.rejection)? }
            }
        })
    }
}

impl Convert for StreamHeader {
    type Wire = wire::StreamHeader;

    fn to_wire(&self) -> wire::StreamHeader {
        use stream_header::{Blob, Kind, Log};
        let kind = match self {
            Self::Blob { digest, size } => {
                Kind::Blob(Blob { digest: digest.to_wire(), size_bytes: *size })
            }
            Self::Log { stream_id } => Kind::Log(Log { stream_id: *stream_id }),
        };
        wire::StreamHeader { kind: Some(kind) }
    }

    fn from_wire(wire: wire::StreamHeader) -> Result<Self, DecodeError> {
        use stream_header::Kind;
        Ok(match known(wire.kind)? {
            Kind::Blob(m) => {
                Self::Blob { digest: read("blob.digest", m.digest)?, size: m.size_bytes }
            }
            Kind::Log(m) => Self::Log { stream_id: m.stream_id },
        })
    }
}
