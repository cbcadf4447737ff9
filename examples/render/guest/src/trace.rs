//! Light along one path: from the lens, from surface to surface, to the sky or a lamp.
//!
//! The sun is small, so that each scattering surface asks for it directly, with a shadow ray; what
//! mirrors sees its disc instead. Nothing else is ever asked for: the sky and the lamps are large
//! enough to be met by chance.

use crate::{
    comb::Field,
    sampler::Sampler,
    scene::{Ball, Camera, Material, Scene},
    vector::Vec3,
};
use std::f32::consts::TAU;

/// Surfaces on one path, at most: later ones no longer change what is seen.
const BOUNCES_MAX: usize = 6;
/// Rays start this far above the surface they leave, lest they meet it again by rounding.
const LIFT: f32 = 2e-3;
/// The brightest that one path may report after its first bounce: a lone brighter one is a dot of
/// noise, not light.
const GLARE_MAX: f32 = 6.0;
/// What glass, varnish and honey mirror when looked at straight on.
const MIRRORED: f32 = 0.04;

/// A half line; its direction has length 1.
#[derive(Clone, Copy)]
pub(crate) struct Ray {
    pub(crate) origin: Vec3,
    pub(crate) direction: Vec3,
}

/// Where a ray meets a surface.
pub(crate) struct Hit {
    pub(crate) distance: f32,
    pub(crate) normal: Vec3,
    pub(crate) material: Material,
}

/// A scene, ready to be looked at.
pub(crate) struct Tracer<'a> {
    scene: &'a Scene,
    field: Field,
}

/// A path on its way.
struct Path {
    ray: Ray,
    /// What is left of white light that comes along it.
    share: Vec3,
    /// Whether it meets the sun's disc, or a shadow ray has asked for the sun already.
    sun: Disc,
}

#[derive(PartialEq)]
enum Disc {
    Seen,
    Asked,
}

impl Ray {
    pub(crate) fn at(&self, distance: f32) -> Vec3 {
        self.origin + self.direction * distance
    }
}

impl<'a> Tracer<'a> {
    pub(crate) fn new(scene: &'a Scene) -> Self {
        Self { scene, field: Field::new(scene) }
    }

    /// The light that comes along `ray`, by one random path.
    pub(crate) fn light(&self, ray: Ray, sampler: &mut Sampler) -> Vec3 {
        let mut path = Path { ray, share: Vec3::ONE, sun: Disc::Seen };
        let mut light = Vec3::ZERO;
        for bounce in 0..BOUNCES_MAX {
            let glare = if bounce == 0 { f32::MAX } else { GLARE_MAX };
            let Some(hit) = self.hit(&path.ray) else {
                return light + dim(path.share * self.sky(&path), glare);
            };
            if bounce == 0 {
                let clear = (-self.scene.sky.haze * hit.distance).exp();
                light += self.scene.sky.horizon * (1.0 - clear);
                path.share = path.share * clear;
            }
            if let Material::Light(colour) = hit.material {
                return light + dim(path.share * colour, glare);
            }
            light += dim(self.scatter(&mut path, &hit, sampler), glare);
            if path.share.largest() < 0.01 {
                break;
            }
        }
        light
    }

    /// Sends the path on from a surface. Returns the sunlight that the surface sends along it.
    fn scatter(&self, path: &mut Path, hit: &Hit, sampler: &mut Sampler) -> Vec3 {
        let direction = path.ray.direction;
        let point = path.ray.at(hit.distance);
        match hit.material {
            Material::Matte(colour) => self.scatter_matte(path, point, hit.normal, colour, sampler),
            Material::Gloss(colour) => {
                let (choice, _) = sampler.pair();
                if choice < mirrored(-direction.dot(hit.normal), MIRRORED) {
                    path.go(point, hit.normal, direction.reflect(hit.normal), Disc::Seen);
                    return Vec3::ZERO;
                }
                self.scatter_matte(path, point, hit.normal, colour, sampler)
            }
            Material::Metal { colour, rough } => {
                path.share *= colour;
                let blur = around(hit.normal, sampler.pair()) - hit.normal;
                let way = (direction.reflect(hit.normal) + blur * rough).unit();
                // A mirrored direction that blurring pressed below the surface is lifted again.
                let below = way.dot(hit.normal).min(0.0);
                path.go(point, hit.normal, (way - hit.normal * (2.0 * below)).unit(), Disc::Seen);
                Vec3::ZERO
            }
            Material::Glass { colour, index } => {
                pass_glass(path, hit, colour, index, sampler);
                Vec3::ZERO
            }
            Material::Light(_) => Vec3::ZERO,
        }
    }

    fn scatter_matte(
        &self,
        path: &mut Path,
        point: Vec3,
        normal: Vec3,
        colour: Vec3,
        sampler: &mut Sampler,
    ) -> Vec3 {
        path.share *= colour;
        let sunlight = path.share * self.sunlight(point, normal, sampler.pair());
        path.go(point, normal, around(normal, sampler.pair()), Disc::Asked);
        sunlight
    }

    /// What a surface gets of the sun, from one point of its disc.
    fn sunlight(&self, point: Vec3, normal: Vec3, draw: (f32, f32)) -> Vec3 {
        let sun = &self.scene.sun;
        let (side, up) = sun.toward.frame();
        let (x, y) = disc(draw);
        let toward = (sun.toward + (side * x + up * y) * sun.width).unit();
        let slant = normal.dot(toward);
        if slant <= 0.0 {
            return Vec3::ZERO;
        }
        let ray = Ray { origin: point + normal * LIFT, direction: toward };
        let mut light = sun.colour * slant;
        for ball in &self.scene.balls {
            match (ball.hit(&ray), ball.material) {
                (None, _) => {}
                // Glass gathers light rather than stopping it: a tinted shadow comes close.
                (Some(_), Material::Glass { colour, .. }) => {
                    light *= colour.map(|left| left.powf(ball.radius));
                }
                (Some(_), _) => return Vec3::ZERO,
            }
        }
        if self.field.hit(&ray, f32::MAX).is_some() { Vec3::ZERO } else { light }
    }

    fn hit(&self, ray: &Ray) -> Option<Hit> {
        let mut nearest: Option<Hit> = None;
        for ball in &self.scene.balls {
            let limit = nearest.as_ref().map_or(f32::MAX, |hit| hit.distance);
            if let Some(distance) = ball.hit(ray).filter(|distance| *distance < limit) {
                let normal = (ray.at(distance) - ball.at) * (1.0 / ball.radius);
                nearest = Some(Hit { distance, normal, material: ball.material });
            }
        }
        let limit = nearest.as_ref().map_or(f32::MAX, |hit| hit.distance);
        self.field.hit(ray, limit).or(nearest)
    }

    fn sky(&self, path: &Path) -> Vec3 {
        let (sky, sun) = (&self.scene.sky, &self.scene.sun);
        let direction = path.ray.direction;
        let height = direction.z.max(0.0).sqrt();
        let mut light = sky.horizon.mix(sky.zenith, height);
        let toward_sun = direction.dot(sun.toward);
        // A glow around the sun, and the disc itself.
        light += sun.colour * (0.08 * toward_sun.max(0.0).powi(24));
        if path.sun == Disc::Seen && toward_sun > 1.0 / (1.0 + sun.width * sun.width).sqrt() {
            light += sun.colour * (1.0 / (sun.width * sun.width));
        }
        light
    }
}

impl Path {
    /// Leaves a surface to the side that `direction` points to.
    fn go(&mut self, point: Vec3, normal: Vec3, direction: Vec3, sun: Disc) {
        let lift = if direction.dot(normal) < 0.0 { -LIFT } else { LIFT };
        self.ray = Ray { origin: point + normal * lift, direction };
        self.sun = sun;
    }
}

impl Ball {
    /// How far along the ray the sphere begins, or ends if the ray starts inside.
    fn hit(&self, ray: &Ray) -> Option<f32> {
        let from = ray.origin - self.at;
        let b = from.dot(ray.direction);
        let root = b * b - from.dot(from) + self.radius * self.radius;
        if root < 0.0 {
            return None;
        }
        let (near, far) = (-b - root.sqrt(), -b + root.sqrt());
        [near, far].into_iter().find(|distance| *distance > LIFT)
    }
}

impl Camera {
    /// A ray from the lens through a point of the picture: `x` and `y` from -1 to 1, of which the
    /// height takes all and the width `aspect` times as much.
    pub(crate) fn ray(&self, x: f32, y: f32, aspect: f32, lens: (f32, f32)) -> Ray {
        let forward = (self.at - self.from).unit();
        let right = forward.cross(Vec3::UP).unit();
        let up = right.cross(forward);
        let scale = (self.angle.to_radians() * 0.5).tan();
        let through = forward + right * (x * aspect * scale) + up * (y * scale);
        let (lens_x, lens_y) = disc(lens);
        let shift = (right * lens_x + up * lens_y) * self.aperture;
        let direction = (through * self.focus - shift).unit();
        Ray { origin: self.from + shift, direction }
    }
}

/// Mirrors at glass or passes through, by chance; `share` pays for the way within.
fn pass_glass(path: &mut Path, hit: &Hit, colour: Vec3, index: f32, sampler: &mut Sampler) {
    let direction = path.ray.direction;
    let point = path.ray.at(hit.distance);
    let inside = direction.dot(hit.normal) > 0.0;
    if inside {
        path.share *= colour.map(|left| left.powf(hit.distance));
    }
    let (normal, ratio) = if inside { (-hit.normal, index) } else { (hit.normal, 1.0 / index) };
    let slant = -direction.dot(normal);
    let bent = 1.0 - ratio * ratio * (1.0 - slant * slant);
    let straight_on = ((index - 1.0) / (index + 1.0)).powi(2);
    let (choice, _) = sampler.pair();
    // Below zero there is no way out: everything is mirrored.
    if bent < 0.0 || choice < mirrored(slant.min(bent.sqrt()), straight_on) {
        path.go(point, normal, direction.reflect(normal), Disc::Seen);
    } else {
        let way = direction * ratio + normal * (ratio * slant - bent.sqrt());
        path.go(point, normal, way.unit(), Disc::Seen);
    }
}

/// Schlick's estimate of what a clear surface mirrors at that slant.
fn mirrored(slant: f32, straight_on: f32) -> f32 {
    straight_on + (1.0 - straight_on) * (1.0 - slant.clamp(0.0, 1.0)).powi(5)
}

fn dim(light: Vec3, glare: f32) -> Vec3 {
    let largest = light.largest();
    if largest > glare { light * (glare / largest) } else { light }
}

/// A direction around `normal`, the more likely the closer to it, as a matte surface scatters.
fn around(normal: Vec3, draw: (f32, f32)) -> Vec3 {
    let (side, up) = normal.frame();
    let (x, y) = disc(draw);
    (side * x + up * y + normal * (1.0 - x * x - y * y).max(0.0).sqrt()).unit()
}

/// A point of the unit disc.
fn disc((first, second): (f32, f32)) -> (f32, f32) {
    let (radius, angle) = (first.sqrt(), TAU * second);
    (radius * angle.cos(), radius * angle.sin())
}
