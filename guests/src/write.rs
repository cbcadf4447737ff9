//! Writes its second argument into the file that its first one names, and reads it back.

#![expect(clippy::print_stdout, reason = "a guest speaks through its standard output")]

use std::{env, fs, io};

fn main() -> io::Result<()> {
    let [path, contents] =
        env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "usage: write PATH CONTENTS")
        })?;
    fs::write(&path, contents)?;
    println!("{}", fs::read_to_string(&path)?);
    Ok(())
}
