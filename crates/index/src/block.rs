//! A run of plain values: our own, or a part of a mapped file.

use std::{marker::PhantomData, sync::Arc};

use bytemuck::Pod;

use crate::map::Map;

/// A vector that may still lie in the file it was saved to.
#[derive(Debug)]
pub(crate) enum Block<T> {
    Owned(Vec<T>),
    Mapped {
        map: Arc<Map>,
        at: usize,
        bytes: usize,
        of: PhantomData<T>,
    },
}

// === impl Block ===

impl<T> Default for Block<T> {
    fn default() -> Self {
        Self::Owned(Vec::new())
    }
}

impl<T: Pod> Block<T> {
    /// The bytes of a map from `at` on; `None` if they do not lie inside it, whole and aligned.
    pub(crate) fn mapped(map: &Arc<Map>, at: usize, bytes: usize) -> Option<Self> {
        let part = map.bytes().get(at..at.checked_add(bytes)?)?;
        bytemuck::try_cast_slice::<u8, T>(part).ok()?;
        Some(Self::Mapped {
            map: map.clone(),
            at,
            bytes,
            of: PhantomData,
        })
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::Owned(values) => values,
            Self::Mapped { map, at, bytes, .. } => bytemuck::cast_slice(&map.bytes()[*at..*at + *bytes]),
        }
    }

    /// The values to change, copied out of the file first if need be.
    pub(crate) fn to_mut(&mut self) -> &mut Vec<T> {
        if let Self::Mapped { .. } = self {
            *self = Self::Owned(self.as_slice().to_vec());
        }
        match self {
            Self::Owned(values) => values,
            Self::Mapped { .. } => unreachable!("replaced above"),
        }
    }

    /// Bytes it takes, in memory or in the file.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Owned(values) => values.capacity() * size_of::<T>(),
            Self::Mapped { bytes, .. } => *bytes,
        }
    }
}
