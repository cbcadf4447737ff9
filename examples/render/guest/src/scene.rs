//! What is to be seen: the parts of a scene.
//!
//! Lengths are in cells' radii (middle to corner), z is up, colours are linear. All numbers are
//! finite: [`Scene::parse`] takes no others.

mod parse;

use crate::vector::Vec3;

/// All that a picture shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scene {
    pub(crate) camera: Camera,
    pub(crate) sun: Sun,
    pub(crate) sky: Sky,
    pub(crate) comb: Comb,
    pub(crate) hills: Vec<Hill>,
    /// What cells are filled with, each with its share of all cells; the rest is empty.
    pub(crate) fills: Vec<Fill>,
    pub(crate) balls: Vec<Ball>,
}

/// Where the picture is taken from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Camera {
    pub(crate) from: Vec3,
    pub(crate) at: Vec3,
    /// The height of the picture, in degrees.
    pub(crate) angle: f32,
    /// The radius of the lens: what is not in focus blurs.
    pub(crate) aperture: f32,
    /// The distance that is in focus.
    pub(crate) focus: f32,
    /// The factor from light to brightness.
    pub(crate) exposure: f32,
}

/// The one distant light.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sun {
    /// The direction to it, of length 1.
    pub(crate) toward: Vec3,
    pub(crate) colour: Vec3,
    /// Its radius, as the tangent of an angle: shadows soften with it.
    pub(crate) width: f32,
}

/// The light from everywhere else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sky {
    pub(crate) horizon: Vec3,
    pub(crate) zenith: Vec3,
    /// The share of light that the air swallows per unit of distance.
    pub(crate) haze: f32,
}

/// The field of six-sided cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Comb {
    /// Cells from the middle to the border.
    pub(crate) reach: f32,
    /// The thickness of a cell's wall.
    pub(crate) wall: f32,
    /// How deep an empty cell is.
    pub(crate) depth: f32,
    /// How much the heights of neighbours differ at random.
    pub(crate) jitter: f32,
    /// Another seed is another comb.
    pub(crate) seed: f32,
    pub(crate) material: Material,
}

/// A rise of the field, or a hollow where its height is negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hill {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

/// What some of the cells hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fill {
    pub(crate) share: f32,
    /// How far up a cell is filled, from 0 to 1.
    pub(crate) level: f32,
    pub(crate) material: Material,
}

/// A sphere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ball {
    pub(crate) at: Vec3,
    pub(crate) radius: f32,
    pub(crate) material: Material,
}

/// How a surface answers light.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Material {
    /// Scatters it evenly.
    Matte(Vec3),
    /// Scatters it below a clear coat.
    Gloss(Vec3),
    /// Mirrors it, blurred by `rough`.
    Metal { colour: Vec3, rough: f32 },
    /// Lets it through; `colour` is what is left of white light after one unit of distance.
    Glass { colour: Vec3, index: f32 },
    /// Sends it out.
    Light(Vec3),
}
