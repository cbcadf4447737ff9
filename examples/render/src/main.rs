//! Draws a picture on a cluster: one task per tile, put together as the tiles come in.
//!
//! The framework side of the example; what runs in the sandbox is `guest/`.

mod picture;

use anyhow::{Context as _, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use picture::{Picture, Tile};
use skep_framework::prelude::*;
use std::{collections::VecDeque, path::PathBuf, time::Duration};

/// What a tile needs: the path tracer is all computation, and keeps little.
const CPUS: Amount = Amount::millis(500);
const MEM_MIB: Amount = Amount::units(64);
/// How often a tile is tried before the picture is given up.
const ATTEMPTS_MAX: u32 = 3;

/// Draws a picture on a skep cluster.
#[derive(Debug, Parser)]
struct Args {
    /// The scene
    #[arg(default_value = "examples/render/scene.txt")]
    scene: PathBuf,
    /// Where the picture goes
    #[arg(short, long, default_value = "honeycomb.png")]
    output: PathBuf,
    /// The guest module
    #[arg(long, default_value = "examples/render/render.wasm")]
    module: PathBuf,
    /// Width and height in pixels
    #[arg(long, default_value = "960x640")]
    size: picture::Pair,
    /// Columns and rows of tiles; each is a task
    #[arg(long, default_value = "8x8")]
    tiles: picture::Pair,
    /// Rays per pixel
    #[arg(long, default_value = "16")]
    samples: u32,
}

/// Hands out tiles and collects them.
struct RenderScheduler {
    /// What every task is, but for its tile.
    template: TaskSpec,
    waiting: VecDeque<(u64, Attempt)>,
    left: u64,
    picture: Picture,
    bar: ProgressBar,
    failure: Option<String>,
}

impl Scheduler for RenderScheduler {
    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        for offer in offers {
            // An agent queues what does not fit at once; a few tiles each keep all agents busy.
            let fits = offer.resources.cpus().as_millis() / CPUS.as_millis();
            let count = usize::try_from(2 * fits).unwrap_or(usize::MAX).min(self.waiting.len());
            if fits == 0 || count == 0 {
                driver.decline(offer.id, None);
                continue;
            }
            let tiles: Vec<_> = self.waiting.drain(..count).collect();
            driver.launch(&offer, tiles.into_iter().map(|tile| task(&self.template, tile)));
        }
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let outcome = match &update.state {
            TaskState::Ended(outcome) => outcome,
            _ => return,
        };
        let number = update.key.task.as_str().trim_start_matches("tile-").parse::<u64>();
        let placed = outcome.is_success().then(|| Tile::parse(&update.result));
        match (number, placed) {
            (_, Some(Ok(tile))) => {
                self.picture.place(&tile);
                self.bar.inc(1);
                self.left -= 1;
            }
            (Ok(number), _) if update.key.attempt.0 < ATTEMPTS_MAX => {
                self.waiting.push_back((number, update.key.attempt.next()));
                driver.revive();
            }
            _ => self.failure = Some(format!("{}: {outcome}", update.key.task)),
        }
        if self.left == 0 || self.failure.is_some() {
            driver.stop();
        }
    }
}

/// The task of one tile.
fn task(template: &TaskSpec, (tile, attempt): (u64, Attempt)) -> TaskSpec {
    let mut spec = template.clone();
    spec.task = TaskId::new(format!("tile-{tile}")).expect("a plain name");
    spec.attempt = attempt;
    spec.index = Some(tile);
    spec
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it says where the picture is")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let cluster = Cluster::connect_from_env().await?;
    let tiles = u64::from(args.tiles.0) * u64::from(args.tiles.1);

    let any = TaskId::new("tile").expect("a plain name");
    let module = cluster.push_file(&args.module).await?;
    let mut template = TaskSpec::new(any, module, Resources::new(CPUS, MEM_MIB));
    template.name = "render".into();
    template.grants.stdin = Some(cluster.push_file(&args.scene).await?);
    template.args = ["--size", &args.size.to_string(), "--tiles", &args.tiles.to_string()]
        .map(String::from)
        .to_vec();
    template.args.extend(["--samples".into(), args.samples.to_string()]);

    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tiles  {elapsed_precise}")?;
    let bar = ProgressBar::new(tiles).with_style(style.progress_chars("##-"));
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut scheduler = RenderScheduler {
        template,
        waiting: (0..tiles).map(|tile| (tile, Attempt::FIRST)).collect(),
        left: tiles,
        picture: Picture::new(args.size),
        bar: bar.clone(),
        failure: None,
    };
    cluster.run(framework_info("render"), &mut scheduler).await?;
    bar.finish_and_clear();
    if let Some(failure) = scheduler.failure {
        bail!("no picture: {failure}");
    }
    let path = args.output.display();
    scheduler.picture.save(&args.output).with_context(|| format!("{path} cannot be written"))?;
    println!("{path}: {tiles} tiles");
    Ok(())
}
