//! The share of each role over the steps, as a drawing.

use crate::{Scenario, ScenarioError, stage::Stage};
use plotters::prelude::*;
use skep_protocol::Role;
use std::collections::{BTreeMap, BTreeSet};

/// Why there is no drawing.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The scenario cannot be run.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// It cannot be drawn.
    #[error("the shares cannot be drawn: {0}")]
    Drawing(String),
}

/// Large enough for a page, small enough for a README.
const SIZE: (u32, u32) = (800, 400);

/// Runs a scenario and draws each role's share after each step, as SVG.
///
/// # Errors
/// [`PlotError`] if the scenario is wrong or cannot be drawn.
pub fn plot(text: &str) -> Result<String, PlotError> {
    let scenario = Scenario::parse(text)?;
    let mut stage = Stage::new(&scenario.options);
    let mut shares = Vec::new();
    for (number, step) in (1..).zip(&scenario.steps) {
        stage.play(number, step)?;
        shares.push(stage.shares());
    }
    let mut svg = String::new();
    draw(&mut svg, &shares).map_err(|why| PlotError::Drawing(why.to_string()))?;
    Ok(svg)
}

#[expect(clippy::cast_precision_loss, reason = "steps are few")]
fn draw(
    svg: &mut String,
    shares: &[BTreeMap<Role, f64>],
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let last = shares.len().max(1) as f64;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(32)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..last, 0.0..1.0)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc("share")
        .x_label_formatter(&|step| format!("{step:.0}"))
        .y_label_formatter(&|share| format!("{share:.1}"))
        .draw()?;
    let roles: BTreeSet<&Role> = shares.iter().flat_map(BTreeMap::keys).collect();
    for (number, role) in roles.into_iter().enumerate() {
        let color = Palette99::pick(number).mix(1.0);
        let share = |step: usize| shares[step].get(role).copied().unwrap_or(0.0);
        // A share holds until the next step changes it.
        let corners = (0..shares.len()).flat_map(|step| {
            let at = step as f64;
            [(at, share(step)), (at + 1.0, share(step))]
        });
        chart
            .draw_series(LineSeries::new(corners, color.stroke_width(2)))?
            .label(role.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    drop(chart);
    Ok(())
}
