//! What a compiler made of a program, to be read.

use super::CacheOutcome;
use crate::pjrt::{self, Artifact, MemoryStats};
use crate::step::Program;

/// A compiled program as it can be read, on whatever device it would run.
#[derive(Debug)]
pub struct Listing {
    /// The program.
    pub program: Program,
    /// What XLA made of it: a serialized `HloModuleProtoWithConfig`, for
    /// [`HloModule::decode`](crate::inspect::HloModule::decode).
    pub hlo: Vec<u8>,
    /// The memory of a run.
    pub memory: MemoryStats,
    /// Whether it came from the cache.
    pub outcome: CacheOutcome,
    /// Seconds spent lowering and compiling, or loading from the cache.
    pub seconds: f64,
}

/// The part of a listing that is the compiler's.
#[derive(Debug, PartialEq)]
pub(super) struct Listed {
    pub(super) memory: MemoryStats,
    pub(super) hlo: Vec<u8>,
}

/// The numbers of [`MemoryStats`].
const NUMBERS: usize = 11;

impl Listed {
    pub(super) fn of(artifact: &Artifact) -> pjrt::Result<Listed> {
        Ok(Listed { memory: artifact.memory_stats()?, hlo: artifact.optimized_hlo()? })
    }

    /// The numbers of the memory, little-endian, and the module.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let MemoryStats {
            generated_code,
            arguments,
            outputs,
            aliased,
            temporaries,
            host_generated_code,
            host_arguments,
            host_outputs,
            host_aliased,
            host_temporaries,
            peak,
        } = self.memory;
        let numbers: [i64; NUMBERS] = [
            generated_code,
            arguments,
            outputs,
            aliased,
            temporaries,
            host_generated_code,
            host_arguments,
            host_outputs,
            host_aliased,
            host_temporaries,
            peak,
        ];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(&self.hlo);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Listed> {
        let (numbers, hlo) = bytes.split_at_checked(NUMBERS * size_of::<i64>())?;
        let mut numbers = numbers.as_chunks().0.iter().map(|&number| i64::from_le_bytes(number));
        let mut next = || numbers.next();
        let memory = MemoryStats {
            generated_code: next()?,
            arguments: next()?,
            outputs: next()?,
            aliased: next()?,
            temporaries: next()?,
            host_generated_code: next()?,
            host_arguments: next()?,
            host_outputs: next()?,
            host_aliased: next()?,
            host_temporaries: next()?,
            peak: next()?,
        };
        Some(Listed { memory, hlo: hlo.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::testing;

    #[test]
    fn listings_survive_the_way_to_bytes_and_back() {
        let client = testing::client();
        let listed = Listed::of(&testing::compile(&client, testing::DOUBLE_IN_PLACE)).unwrap();
        assert_eq!(listed.memory.aliased, 16);
        let bytes = listed.to_bytes();
        assert_eq!(Listed::from_bytes(&bytes), Some(listed));
        assert_eq!(Listed::from_bytes(&bytes[..80]), None);

        let counted = MemoryStats {
            generated_code: 1,
            arguments: 2,
            outputs: 3,
            aliased: 4,
            temporaries: 5,
            host_generated_code: 6,
            host_arguments: 7,
            host_outputs: 8,
            host_aliased: 9,
            host_temporaries: 10,
            peak: -11,
        };
        let listed = Listed { memory: counted, hlo: vec![7] };
        assert_eq!(Listed::from_bytes(&listed.to_bytes()), Some(listed));
    }
}
