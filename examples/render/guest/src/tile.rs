//! A picture in tiles: which pixels a tile has, how they are drawn, and how they travel.

use crate::{sampler::Sampler, scene::Scene, trace::Tracer, vector::Vec3};

/// A picture, cut into columns and rows of tiles. All four are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) columns: u32,
    pub(crate) rows: u32,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Grid {
    /// The whole picture as one tile.
    pub(crate) fn whole(&self) -> Tile {
        Tile { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// The tile of that number, counted from the top left, row by row.
    pub(crate) fn tile(&self, number: u64) -> Option<Tile> {
        let columns = u64::from(self.columns);
        let row = u32::try_from(number / columns).ok().filter(|row| *row < self.rows)?;
        let column = (number % columns) as u32;
        let (x, right) = span(column, self.columns, self.width);
        let (y, bottom) = span(row, self.rows, self.height);
        Some(Tile { x, y, width: right - x, height: bottom - y })
    }
}

/// Where part `place` of `parts` begins and ends in `length`, all parts of one size up to a pixel.
fn span(place: u32, parts: u32, length: u32) -> (u32, u32) {
    let cut = |place: u32| (u64::from(length) * u64::from(place) / u64::from(parts)) as u32;
    (cut(place), cut(place + 1))
}

impl Tile {
    /// Draws the tile: three bytes (red, green, blue) per pixel, row by row. Calls `row_done` with
    /// the number of finished rows after each.
    pub(crate) fn draw(
        &self,
        scene: &Scene,
        grid: &Grid,
        samples: u32,
        mut row_done: impl FnMut(u32),
    ) -> Vec<u8> {
        let tracer = Tracer::new(scene);
        let mut pixels = Vec::with_capacity(self.width as usize * self.height as usize * 3);
        for y in self.y..self.y + self.height {
            for x in self.x..self.x + self.width {
                pixels.extend(develop(pixel(&tracer, scene, grid, (x, y), samples)));
            }
            row_done(y - self.y + 1);
        }
        pixels
    }

    /// Place and size of the tile as it travels before its pixels: four `u32`, little end first.
    pub(crate) fn header(&self) -> [u8; 16] {
        let mut header = [0; 16];
        let fields = [self.x, self.y, self.width, self.height];
        for (bytes, field) in header.chunks_exact_mut(4).zip(fields) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
        header
    }
}

/// The light on one pixel: the mean of `samples` paths, times the camera's exposure.
fn pixel(
    tracer: &Tracer<'_>,
    scene: &Scene,
    grid: &Grid,
    (x, y): (u32, u32),
    samples: u32,
) -> Vec3 {
    let (width, height) = (grid.width as f32, grid.height as f32);
    let mut light = Vec3::ZERO;
    for sample in 0..samples {
        let mut sampler = Sampler::new(y.wrapping_mul(grid.width).wrapping_add(x), sample);
        let (right, down) = sampler.pair();
        let across = 2.0 * (x as f32 + right) / width - 1.0;
        let upward = 1.0 - 2.0 * (y as f32 + down) / height;
        let ray = scene.camera.ray(across, upward, width / height, sampler.pair());
        light += tracer.light(ray, &mut sampler);
    }
    light * (scene.camera.exposure / samples as f32)
}

/// Turns light into bytes: bright colours are bent below white as film does (the curve is the
/// usual fit to that of the Academy Color Encoding System), then encoded for a screen.
fn develop(light: Vec3) -> [u8; 3] {
    let byte = |x: f32| {
        let bent = x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14);
        (bent.clamp(0.0, 1.0).powf(1.0 / 2.2) * 255.0 + 0.5) as u8
    };
    [byte(light.x), byte(light.y), byte(light.z)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENE: &str = include_str!("../../scene.txt");

    #[test]
    fn tiles_cover_each_pixel_once_even_where_sizes_do_not_divide() {
        let grid = Grid { width: 10, height: 7, columns: 3, rows: 2 };
        let mut pixels = vec![0; 70];
        for tile in (0..6).map(|number| grid.tile(number).expect("a tile")) {
            for y in tile.y..tile.y + tile.height {
                for x in tile.x..tile.x + tile.width {
                    pixels[(y * 10 + x) as usize] += 1;
                }
            }
        }
        assert_eq!(pixels, vec![1; 70]);
        assert_eq!(grid.tile(6), None);
        assert_eq!(grid.tile(u64::MAX), None);
    }

    #[test]
    fn a_tile_shows_what_the_whole_picture_shows_there() {
        let scene = Scene::parse(SCENE).expect("the example's scene");
        let grid = Grid { width: 24, height: 16, columns: 2, rows: 2 };
        let whole = grid.whole().draw(&scene, &grid, 2, |_| ());
        let last = grid.tile(3).expect("a tile").draw(&scene, &grid, 2, |_| ());
        let expected: Vec<u8> =
            (8..16).flat_map(|y| &whole[(y * 24 + 12) * 3..(y * 24 + 24) * 3]).copied().collect();
        assert_eq!(last, expected);
    }

    #[test]
    fn the_header_is_place_and_size() {
        let tile = Tile { x: 1, y: 2, width: 3, height: 260 };
        assert_eq!(tile.header(), [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 1, 0, 0]);
    }
}
