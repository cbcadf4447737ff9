//! The picture: tiles are placed into it as they come, and it is written as PNG.

use anyhow::{Context as _, bail};
use std::{fmt, fs::File, io::BufWriter, path::Path, str::FromStr};

/// Two numbers joined by `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair(pub(crate) u32, pub(crate) u32);

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('x')
            .and_then(|(first, second)| Some((first.parse().ok()?, second.parse().ok()?)));
        match numbers {
            Some((first, second)) if first > 0 && second > 0 => Ok(Self(first, second)),
            _ => Err("write two numbers above zero joined by x, such as 960x640".into()),
        }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0, self.1)
    }
}

/// What a task returned: place, size and pixels.
pub(crate) struct Tile<'a> {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
    pixels: &'a [u8],
}

impl<'a> Tile<'a> {
    /// Reads a result: four little-endian `u32` (x, y, width, height), then RGB pixels by rows.
    pub(crate) fn parse(result: &'a [u8]) -> anyhow::Result<Self> {
        let (header, pixels) = result.split_first_chunk::<16>().context("the header is cut")?;
        let number = |i: usize| -> usize {
            let bytes = header[4 * i..4 * i + 4].try_into().expect("four bytes");
            usize::try_from(u32::from_le_bytes(bytes)).expect("32 bits fit")
        };
        let tile = Self { x: number(0), y: number(1), width: number(2), height: number(3), pixels };
        if tile.width.checked_mul(tile.height).and_then(|n| n.checked_mul(3)) != Some(pixels.len())
        {
            bail!("{} bytes of pixels do not fill the tile", pixels.len());
        }
        Ok(tile)
    }
}

/// RGB pixels by rows; black where no tile has come.
pub(crate) struct Picture {
    size: Pair,
    width: usize,
    pixels: Vec<u8>,
}

impl Picture {
    pub(crate) fn new(size: Pair) -> Self {
        let side = |pixels: u32| usize::try_from(pixels).expect("32 bits fit");
        let (width, height) = (side(size.0), side(size.1));
        Self { size, width, pixels: vec![0; width * height * 3] }
    }

    /// Copies a tile to its place; what lies outside the picture is left out.
    pub(crate) fn place(&mut self, tile: &Tile<'_>) {
        let width = tile.width.min(self.width.saturating_sub(tile.x));
        for (row, line) in tile.pixels.chunks_exact(3 * tile.width.max(1)).enumerate() {
            let start = 3 * ((tile.y + row) * self.width + tile.x);
            if let Some(place) = self.pixels.get_mut(start..start + 3 * width) {
                place.copy_from_slice(&line[..3 * width]);
            }
        }
    }

    /// Writes it as a PNG file.
    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(file, self.size.0, self.size.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        Ok(writer.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(x: u32, y: u32, width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
        let header = [x, y, width, height].map(u32::to_le_bytes).concat();
        [&header, pixels].concat()
    }

    #[test]
    fn a_tile_lands_where_it_says() {
        let mut picture = Picture::new(Pair(2, 2));
        let bytes = result(1, 0, 1, 2, &[1, 2, 3, 4, 5, 6]);
        picture.place(&Tile::parse(&bytes).expect("a tile"));
        assert_eq!(picture.pixels, [0, 0, 0, 1, 2, 3, 0, 0, 0, 4, 5, 6]);
    }

    #[test]
    fn a_tile_that_does_not_fit_changes_nothing_outside_and_breaks_nothing() {
        let mut picture = Picture::new(Pair(1, 1));
        let bytes = result(0, 0, 2, 2, &[9; 12]);
        picture.place(&Tile::parse(&bytes).expect("a tile"));
        assert_eq!(picture.pixels, [9; 3]);
        let outside = result(5, 5, 1, 1, &[7; 3]);
        picture.place(&Tile::parse(&outside).expect("a tile"));
        assert_eq!(picture.pixels, [9; 3]);
    }

    #[test]
    fn a_result_of_the_wrong_size_is_no_tile() {
        assert!(Tile::parse(&[0; 15]).is_err());
        assert!(Tile::parse(&result(0, 0, 2, 2, &[0; 11])).is_err());
        assert!(Tile::parse(&result(0, 0, u32::MAX, u32::MAX, &[])).is_err());
    }
}
