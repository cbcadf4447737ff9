//! Reads the text of a scene.
//!
//! A line holds one part: its kind, then named numbers, such as `hill at 3 4 width 2 height 1.5`.
//! `#` begins a comment. A part comes once or, like hills, as often as one likes; a material is
//! defined above the lines that use it. The text comes from outside: whatever it says, the answer
//! is a scene or a sentence about the line that is wrong.

use super::{Ball, Camera, Comb, Fill, Hill, Material, Scene, Sky, Sun};
use crate::vector::{Vec3, vec3};
use std::{error, fmt};

/// Cells from the middle to the border, at most: the grid of all cells is kept in memory.
const REACH_MAX: u16 = 200;

/// Why a text is no scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SceneError {
    /// Counted from 1; 0 speaks of the whole text.
    line: usize,
    why: String,
}

impl Scene {
    /// Reads a scene.
    pub(crate) fn parse(text: &str) -> Result<Self, SceneError> {
        let (mut camera, mut sun, mut sky, mut comb) = (None, None, None, None);
        let (mut hills, mut fills, mut balls) = (Vec::new(), Vec::new(), Vec::new());
        let mut materials = Materials::default();
        for (line, text) in (1..).zip(text.lines()) {
            let mut part = Part::split(text, line)?;
            match part.kind {
                "" => continue,
                "camera" => camera = Some(part.camera()?),
                "sun" => sun = Some(part.sun()?),
                "sky" => sky = Some(part.sky()?),
                "comb" => comb = Some(part.comb(&materials)?),
                "hill" => hills.push(part.hill()?),
                "fill" => fills.push(part.fill(&materials)?),
                "ball" => balls.push(part.ball(&materials)?),
                "material" => materials.0.push((part.word()?.to_owned(), part.material()?)),
                kind => return Err(part.error(format!("{kind:?} is no part of a scene"))),
            }
            part.end()?;
        }
        Ok(Self {
            camera: present(camera, "camera")?,
            sun: present(sun, "sun")?,
            sky: present(sky, "sky")?,
            comb: present(comb, "comb")?,
            hills,
            fills,
            balls,
        })
    }
}

fn present<T>(part: Option<T>, kind: &str) -> Result<T, SceneError> {
    part.ok_or_else(|| SceneError { line: 0, why: format!("it has no line `{kind} ...`") })
}

/// The materials that are defined so far, by name.
#[derive(Default)]
struct Materials(Vec<(String, Material)>);

/// One line, taken word by word.
struct Part<'a> {
    kind: &'a str,
    words: Vec<&'a str>,
    line: usize,
}

impl<'a> Part<'a> {
    fn split(text: &'a str, line: usize) -> Result<Self, SceneError> {
        let text = text.split('#').next().unwrap_or_default();
        let mut words = text.split_whitespace();
        Ok(Self { kind: words.next().unwrap_or_default(), words: words.collect(), line })
    }

    fn camera(&mut self) -> Result<Camera, SceneError> {
        Ok(Camera {
            from: self.vector("from")?,
            at: self.vector("at")?,
            angle: self.positive("angle", 120)?,
            aperture: self.number_to("aperture", 10)?,
            focus: self.positive("focus", 10_000)?,
            exposure: self.number_to("exposure", 1_000)?,
        })
    }

    fn sun(&mut self) -> Result<Sun, SceneError> {
        let toward = self.vector("toward")?;
        if toward.z <= 0.0 {
            return Err(self.error("the sun stands below the horizon: raise its z".into()));
        }
        Ok(Sun {
            toward: toward.unit(),
            colour: self.vector("colour")?,
            width: self.positive("width", 1)?,
        })
    }

    fn sky(&mut self) -> Result<Sky, SceneError> {
        Ok(Sky {
            horizon: self.vector("horizon")?,
            zenith: self.vector("zenith")?,
            haze: self.number_to("haze", 1)?,
        })
    }

    fn comb(&mut self, materials: &Materials) -> Result<Comb, SceneError> {
        Ok(Comb {
            reach: self.positive("reach", REACH_MAX)?,
            wall: self.positive("wall", 1)?,
            depth: self.number_to("depth", 10)?,
            jitter: self.number_to("jitter", 10)?,
            seed: self.number_to("seed", 60_000)?,
            material: self.material_named(materials)?,
        })
    }

    fn hill(&mut self) -> Result<Hill, SceneError> {
        let [x, y] = self.numbers("at")?;
        let width = self.positive("width", 1_000)?;
        let [height] = self.numbers("height")?;
        Ok(Hill { x, y, width, height })
    }

    fn fill(&mut self, materials: &Materials) -> Result<Fill, SceneError> {
        Ok(Fill {
            share: self.number_to("share", 1)?,
            level: self.number_to("level", 1)?,
            material: self.material_named(materials)?,
        })
    }

    fn ball(&mut self, materials: &Materials) -> Result<Ball, SceneError> {
        Ok(Ball {
            at: self.vector("at")?,
            radius: self.positive("radius", 100)?,
            material: self.material_named(materials)?,
        })
    }

    fn material(&mut self) -> Result<Material, SceneError> {
        let kind = self.word()?;
        let colour = self.vector("colour")?;
        Ok(match kind {
            "matte" => Material::Matte(colour),
            "gloss" => Material::Gloss(colour),
            "light" => Material::Light(colour),
            "metal" => Material::Metal { colour, rough: self.number_to("rough", 1)? },
            "glass" => Material::Glass { colour, index: self.positive("index", 3)? },
            _ => {
                let why = format!("{kind:?} is not matte, gloss, light, metal or glass");
                return Err(self.error(why));
            }
        })
    }

    fn material_named(&mut self, materials: &Materials) -> Result<Material, SceneError> {
        self.name("material")?;
        let wanted = self.word()?;
        let found = materials.0.iter().find(|(name, _)| name == wanted);
        found
            .map(|(_, material)| *material)
            .ok_or_else(|| self.error(format!("no line above it defines a material {wanted:?}")))
    }

    fn vector(&mut self, name: &str) -> Result<Vec3, SceneError> {
        let [x, y, z] = self.numbers(name)?;
        Ok(vec3(x, y, z))
    }

    /// A number from 0 to `max`.
    fn number_to(&mut self, name: &str, max: u16) -> Result<f32, SceneError> {
        let [number] = self.numbers(name)?;
        if (0.0..=f32::from(max)).contains(&number) {
            return Ok(number);
        }
        Err(self.error(format!("{name} must be from 0 to {max}")))
    }

    /// A number above 0, up to `max`.
    fn positive(&mut self, name: &str, max: u16) -> Result<f32, SceneError> {
        let number = self.number_to(name, max)?;
        if number > 0.0 {
            return Ok(number);
        }
        Err(self.error(format!("{name} must be above 0")))
    }

    fn numbers<const N: usize>(&mut self, name: &str) -> Result<[f32; N], SceneError> {
        self.name(name)?;
        let mut numbers = [0.0; N];
        for number in &mut numbers {
            let word = self.word()?;
            // Sizes beyond this are mistakes, and their products would leave the range of f32.
            let fits = |number: &f32| number.abs() <= 1e6;
            *number = word.parse().ok().filter(fits).ok_or_else(|| {
                self.error(format!("{word:?} after {name} is no number up to a million"))
            })?;
        }
        Ok(numbers)
    }

    fn name(&mut self, name: &str) -> Result<(), SceneError> {
        let (kind, found) = (self.kind, self.words.first().copied());
        if found != Some(name) {
            return Err(self.error(match found {
                Some(word) => format!("{kind} wants `{name}` here, not {word:?}"),
                None => format!("{kind} also wants `{name}`"),
            }));
        }
        self.words.remove(0);
        Ok(())
    }

    fn word(&mut self) -> Result<&'a str, SceneError> {
        if self.words.is_empty() {
            return Err(self.error(format!("{} ends too early", self.kind)));
        }
        Ok(self.words.remove(0))
    }

    fn end(&self) -> Result<(), SceneError> {
        match self.words.first() {
            Some(word) => Err(self.error(format!("{word:?} is one word too many"))),
            None => Ok(()),
        }
    }

    fn error(&self, why: String) -> SceneError {
        SceneError { line: self.line, why }
    }
}

impl fmt::Display for SceneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "the scene is not complete: {}", self.why),
            line => write!(f, "line {line} of the scene: {}", self.why),
        }
    }
}

impl error::Error for SceneError {}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENE: &str = include_str!("../../../scene.txt");

    #[test]
    fn the_scene_of_the_example_is_read_whole() {
        let scene = Scene::parse(SCENE).expect("the example's scene");
        assert_eq!((scene.hills.len(), scene.fills.len(), scene.balls.len()), (5, 4, 3));
        assert!((scene.sun.toward.length() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_wrong_line_is_named_with_what_is_wrong() {
        let cases = [
            ("moon full", "\"moon\" is no part of a scene"),
            ("hill at 1", "hill ends too early"),
            ("hill at 1 NaN", "\"NaN\" after at is no number up to a million"),
            ("hill at 1 1e9", "\"1e9\" after at is no number up to a million"),
            ("hill up 1 2", "hill wants `at` here, not \"up\""),
            ("hill at 1 2 width 0", "width must be above 0"),
            ("hill at 1 2 width 1 height 1 5", "\"5\" is one word too many"),
            ("fill share 2", "share must be from 0 to 1"),
            (
                "fill share 0.1 level 1 material wood",
                "no line above it defines a material \"wood\"",
            ),
            ("material wood rough", "material also wants `colour`"),
            (
                "material wood soft colour 1 1 1",
                "\"soft\" is not matte, gloss, light, metal or glass",
            ),
            ("sun toward 0 1 0", "the sun stands below the horizon: raise its z"),
        ];
        for (line, why) in cases {
            let error = Scene::parse(&format!("# first\n{line}")).expect_err(line);
            assert_eq!(error.to_string(), format!("line 2 of the scene: {why}"));
        }
    }

    #[test]
    fn a_scene_without_a_sun_is_not_complete() {
        let text: Vec<_> = SCENE.lines().filter(|line| !line.starts_with("sun")).collect();
        let error = Scene::parse(&text.join("\n")).expect_err("no sun");
        assert_eq!(error.to_string(), "the scene is not complete: it has no line `sun ...`");
    }
}
