//! The guest of the example `render`: draws one tile of a scene and returns its pixels.
//!
//! As a task it draws the tile that its index names and hands place, size and pixels to its
//! framework. With `--ppm` it needs no framework: it writes the tile, or without a number the whole
//! picture, to standard output, also as a native program.

mod comb;
mod sampler;
mod scene;
mod tile;
mod trace;
mod vector;

use crate::{scene::Scene, tile::Grid};
use lexopt::{Arg, Parser, ValueExt};
use skep_guest::Context;
use std::{
    error::Error,
    fs,
    io::{self, Write},
    process::ExitCode,
};

const USAGE: &str = "usage: render [--scene FILE] [--size WIDTHxHEIGHT] [--tiles COLUMNSxROWS]
              [--samples COUNT] [--ppm] [TILE]
The scene comes from standard input unless FILE is named. TILE counts from 0, row by row; without
it, the task's index counts.";

/// What the arguments ask for.
struct Options {
    scene: Option<String>,
    grid: Grid,
    samples: u32,
    tile: Option<u64>,
    output: Output,
}

enum Output {
    /// The pixels are the task's result.
    Result,
    /// They go to standard output, as a picture in the portable pixmap format.
    Ppm,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when not even this can be written.
            let _ = writeln!(io::stderr(), "render: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let options =
        Options::parse(Parser::from_env()).map_err(|error| format!("{error}\n{USAGE}"))?;
    let text = match &options.scene {
        Some(path) => fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
        None => io::read_to_string(io::stdin())?,
    };
    let scene = Scene::parse(&text)?;
    match options.output {
        Output::Result => return_tile(&options, &scene),
        Output::Ppm => write_ppm(&options, &scene),
    }
}

fn return_tile(options: &Options, scene: &Scene) -> Result<(), Box<dyn Error>> {
    let number = match options.tile {
        Some(number) => number,
        None => {
            Context::current()?.index.ok_or("no tile: name one, or run as an array of tasks")?
        }
    };
    let tile = options.grid.tile(number).ok_or_else(|| format!("there is no tile {number}"))?;
    let report = |rows: u32| {
        // Nobody may be listening; the picture matters more than its progress.
        let _ = skep_guest::progress(rows.into(), tile.height.into(), "rows");
    };
    let pixels = tile.draw(scene, &options.grid, options.samples, report);
    skep_guest::set_result(&[tile.header().as_slice(), &pixels].concat())?;
    Ok(())
}

fn write_ppm(options: &Options, scene: &Scene) -> Result<(), Box<dyn Error>> {
    let tile = match options.tile {
        Some(number) => options.grid.tile(number).ok_or("there is no such tile")?,
        None => options.grid.whole(),
    };
    let pixels = tile.draw(scene, &options.grid, options.samples, |_| ());
    let mut out = io::stdout().lock();
    write!(out, "P6\n{} {}\n255\n", tile.width, tile.height)?;
    out.write_all(&pixels)?;
    Ok(())
}

impl Options {
    fn parse(mut arguments: Parser) -> Result<Self, lexopt::Error> {
        let grid = Grid { width: 960, height: 640, columns: 8, rows: 8 };
        let mut options =
            Self { scene: None, grid, samples: 16, tile: None, output: Output::Result };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("scene") => {
                    let path = arguments.value()?.string()?;
                    options.scene = (path != "-").then_some(path);
                }
                Arg::Long("size") => {
                    let size = arguments.value()?.parse_with(|text| pair(text, 16_384))?;
                    (options.grid.width, options.grid.height) = size;
                }
                Arg::Long("tiles") => {
                    let tiles = arguments.value()?.parse_with(|text| pair(text, 1_024))?;
                    (options.grid.columns, options.grid.rows) = tiles;
                }
                Arg::Long("samples") => {
                    options.samples = arguments.value()?.parse_with(|text| count(text, 65_536))?;
                }
                Arg::Long("ppm") => options.output = Output::Ppm,
                Arg::Value(number) if options.tile.is_none() => {
                    options.tile = Some(number.parse()?);
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

/// Two numbers joined by `x`, each from 1 to `max`.
fn pair(text: &str, max: u32) -> Result<(u32, u32), String> {
    let (first, second) = text.split_once('x').ok_or("it is not two numbers joined by x")?;
    Ok((count(first, max)?, count(second, max)?))
}

fn count(text: &str, max: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("{text:?} is no number from 1 to {max}"))
}
