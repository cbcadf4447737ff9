//! Files of services and of schedules.

use super::{
    fault::FileFault,
    task::{Modules, Reader, TaskFile},
};
use serde::{Deserialize, de::DeserializeOwned};
use skep_frameworks::{cron, service};
use std::{fs, path::Path, time::Duration};
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceFile {
    name: String,
    copies: u32,
    spread: Option<String>,
    healthy_after: Option<Spanned<String>>,
    surge: Option<u32>,
    unavailable: Option<u32>,
    work: Spanned<TaskFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CronFile {
    name: String,
    schedule: String,
    zone: Option<String>,
    #[serde(default)]
    overlap: cron::Overlap,
    #[serde(default)]
    missed: cron::Missed,
    work: Spanned<TaskFile>,
}

/// Reads the file of a service.
///
/// # Errors
/// The first [`FileFault`].
pub(crate) fn service(path: &Path) -> Result<(service::Spec, Modules), FileFault> {
    let text = read(path)?;
    let file: ServiceFile = parse(path, &text)?;
    let mut reader = Reader::new(path, &text);
    let work = work(&mut reader, &file.work)?;
    let healthy_after = reader.time(file.healthy_after.as_ref())?;
    let spec = service::Spec {
        name: file.name,
        work,
        copies: file.copies,
        spread: file.spread.unwrap_or_else(|| "hostname".into()),
        healthy_after: healthy_after.unwrap_or(Duration::from_secs(1)),
        surge: file.surge.unwrap_or(1),
        unavailable: file.unavailable.unwrap_or(0),
    };
    spec.check().map_err(|why| at_field(&reader, &why))?;
    Ok((spec, reader.modules))
}

/// Reads the file of a schedule.
///
/// # Errors
/// The first [`FileFault`].
pub(crate) fn schedule(path: &Path) -> Result<(cron::Spec, Modules), FileFault> {
    let text = read(path)?;
    let file: CronFile = parse(path, &text)?;
    let mut reader = Reader::new(path, &text);
    let work = work(&mut reader, &file.work)?;
    let spec = cron::Spec {
        name: file.name,
        schedule: file.schedule,
        zone: file.zone.unwrap_or_else(|| "UTC".into()),
        overlap: file.overlap,
        missed: file.missed,
        work,
    };
    spec.check().map_err(|why| at_field(&reader, &why))?;
    Ok((spec, reader.modules))
}

fn read(path: &Path) -> Result<String, FileFault> {
    fs::read_to_string(path).map_err(|error| FileFault::at(path, "", None, &error.to_string()))
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FileFault> {
    toml::from_str(text).map_err(|error| FileFault::of_toml(path, text, &error))
}

/// What runs; the words for many tasks of a job mean nothing here.
fn work(
    reader: &mut Reader<'_>,
    task: &Spanned<TaskFile>,
) -> Result<skep_frameworks::Work, FileFault> {
    let fields = task.as_ref();
    let strange = [
        fields.count.as_ref().map(Spanned::span),
        fields.needs.as_ref().map(Spanned::span),
        fields.input.as_ref().map(Spanned::span),
        fields.retries.as_ref().map(Spanned::span),
        fields.stragglers.as_ref().map(Spanned::span),
    ];
    if let Some(span) = strange.into_iter().flatten().next() {
        let why = "count, needs, input, retries and stragglers are for jobs only";
        return Err(reader.fault(span, why));
    }
    reader.work(fields)
}

/// A fault whose sentence begins with the name of its field: at the line that has that field.
fn at_field(reader: &Reader<'_>, why: &str) -> FileFault {
    let field = why.split(':').next().unwrap_or_default();
    let mut begin = 0;
    for line in reader.text.split_inclusive('\n') {
        if line.trim_start().starts_with(field) {
            return reader.fault(begin..begin + line.trim_end().len(), why);
        }
        begin += line.len();
    }
    FileFault::at(reader.path, reader.text, None, why)
}
