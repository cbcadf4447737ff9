//! Points, directions and colours: three numbers and the arithmetic that the tracer needs.

use std::ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub};

/// A point, a direction or a linear colour. In space, z is up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Vec3 {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) z: f32,
}

/// The vector of three numbers.
pub(crate) const fn vec3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Vec3 {
    pub(crate) const ZERO: Self = vec3(0.0, 0.0, 0.0);
    pub(crate) const ONE: Self = vec3(1.0, 1.0, 1.0);
    pub(crate) const UP: Self = vec3(0.0, 0.0, 1.0);

    pub(crate) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub(crate) fn cross(self, other: Self) -> Self {
        vec3(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub(crate) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The same direction with length 1. Of no length, it stays as it is.
    pub(crate) fn unit(self) -> Self {
        let length = self.length();
        if length > 0.0 { self * (1.0 / length) } else { self }
    }

    /// The mirror image at a surface of that normal.
    pub(crate) fn reflect(self, normal: Self) -> Self {
        self - normal * (2.0 * self.dot(normal))
    }

    /// Part `share` of the way to `other`.
    pub(crate) fn mix(self, other: Self, share: f32) -> Self {
        self * (1.0 - share) + other * share
    }

    pub(crate) fn map(self, f: impl Fn(f32) -> f32) -> Self {
        vec3(f(self.x), f(self.y), f(self.z))
    }

    pub(crate) fn largest(self) -> f32 {
        self.x.max(self.y).max(self.z)
    }

    /// Two directions that make a right-handed frame with this one, which must have length 1.
    pub(crate) fn frame(self) -> (Self, Self) {
        let other = if self.x.abs() > 0.7 { vec3(0.0, 1.0, 0.0) } else { vec3(1.0, 0.0, 0.0) };
        let side = self.cross(other).unit();
        (side, self.cross(side))
    }
}

impl Add for Vec3 {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        vec3(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl AddAssign for Vec3 {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Vec3 {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        vec3(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Neg for Vec3 {
    type Output = Self;
    fn neg(self) -> Self {
        vec3(-self.x, -self.y, -self.z)
    }
}

impl Mul<f32> for Vec3 {
    type Output = Self;
    fn mul(self, factor: f32) -> Self {
        vec3(self.x * factor, self.y * factor, self.z * factor)
    }
}

/// Colour by colour.
impl Mul for Vec3 {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        vec3(self.x * other.x, self.y * other.y, self.z * other.z)
    }
}

impl MulAssign for Vec3 {
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}
