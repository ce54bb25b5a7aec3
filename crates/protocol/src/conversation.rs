//! A request in no format: what all three can say, typed. One reader and one writer a format go through it, so that a new
//! format is one more pair and not one more for each other format.
//!
//! It borrows from the body. Schemas, tool arguments, cache markers and whatever is not known stay raw: their bytes, the
//! order of their keys and the spelling of their numbers reach the upstream as the client wrote them.

use std::borrow::Cow;

use fingerpost_core::Role;
use serde_json::value::RawValue;

use crate::{BadRequest, Format, Warnings, chat, messages, responses};

/// A request in no format.
#[derive(Debug, Clone)]
pub struct Conversation<'a> {
    /// The format it was read from.
    pub source: Format,
    /// The model's name; empty where the client named none.
    pub model: Cow<'a, str>,
    /// The messages, oldest first; system texts are messages too.
    pub messages: Vec<Message<'a>>,
    /// The tools, in the client's order.
    pub tools: Vec<Tool<'a>>,
    /// Which tool to use.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether several tools may be called at once; the upstream's default where `None`.
    pub parallel_tool_calls: Option<bool>,
    /// What form the answer must have.
    pub output: OutputFormat<'a>,
    /// How to sample.
    pub sampling: Sampling<'a>,
    /// The most tokens that the answer may have.
    pub max_output: Option<u32>,
    /// How much to think.
    pub reasoning: Option<ReasoningConfig<'a>>,
    /// How long-winded the answer shall be (OpenAI's `verbosity`).
    pub verbosity: Option<Cow<'a, str>>,
    /// Whether the client wants a stream.
    pub stream: bool,
    /// Whether the provider shall store the answer.
    pub store: Option<bool>,
    /// The end user.
    pub user: Option<Cow<'a, str>>,
    /// Free metadata (OpenAI's), as it is.
    pub metadata: Option<&'a RawValue>,
    /// A cache marker for the whole request (Anthropic's top-level `cache_control`).
    pub cache_control: Option<&'a RawValue>,
    /// Members that are not known here, of the source's format.
    pub extra: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Whose it is. `Tool` messages carry tool results only.
    pub role: Role,
    /// The author's name (Chat).
    pub name: Option<Cow<'a, str>>,
    /// What it says.
    pub parts: Vec<Part<'a>>,
}

/// One part of a message.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// What it is.
    pub content: PartContent<'a>,
    /// The cache marker that ends with this part.
    pub cache_control: Option<&'a RawValue>,
}

/// What a part is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PartContent<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Text in which the model refuses.
    Refusal(Cow<'a, str>),
    /// Something that a model thought.
    Reasoning(Reasoning<'a>),
    /// An image.
    Image {
        /// Where it is.
        media: Media<'a>,
        /// OpenAI's `detail`.
        detail: Option<Cow<'a, str>>,
    },
    /// Sound, base64.
    Audio {
        /// The data.
        data: Cow<'a, str>,
        /// `wav` or `mp3`.
        format: Cow<'a, str>,
    },
    /// A document.
    File {
        /// Where it is.
        media: Media<'a>,
        /// Its name or title.
        name: Option<Cow<'a, str>>,
    },
    /// A call of a tool by the model.
    ToolCall(ToolCall<'a>),
    /// What a tool gave back.
    ToolResult {
        /// The call's id.
        id: Cow<'a, str>,
        /// Texts, images, documents.
        content: Vec<Part<'a>>,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// Anything else, as the source's format writes it.
    Other {
        /// Its `type`.
        kind: Cow<'a, str>,
        /// The whole of it.
        raw: &'a RawValue,
    },
}

/// A call of a tool by the model.
#[derive(Debug, Clone)]
pub struct ToolCall<'a> {
    /// The id that its result will name.
    pub id: Cow<'a, str>,
    /// The tool.
    pub name: Cow<'a, str>,
    /// JSON text of the arguments, as the model wrote it; free text for a custom tool.
    pub arguments: Cow<'a, str>,
    /// Whether it calls a custom tool (OpenAI's tools of free text).
    pub custom: bool,
}

/// Where an image or document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media<'a> {
    /// At a URL.
    Url(Cow<'a, str>),
    /// Inline, base64.
    Data {
        /// Its media type.
        media_type: Cow<'a, str>,
        /// The data.
        base64: Cow<'a, str>,
    },
    /// Inline plain text.
    Text(Cow<'a, str>),
    /// Uploaded to the provider before.
    FileId(Cow<'a, str>),
}

/// Something that a model thought, and the proof by which its provider knows it again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reasoning<'a> {
    /// The thought or its summary; empty where it is hidden.
    pub text: Cow<'a, str>,
    /// The provider's proof. Only the provider that made it takes it back.
    pub seal: Option<Seal<'a>>,
}

/// The proof by which a provider knows a thought again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal<'a> {
    /// Anthropic's signature of a thinking block.
    Signature(Cow<'a, str>),
    /// Anthropic's redacted thinking.
    Redacted(Cow<'a, str>),
    /// A reasoning item of Responses.
    Item {
        /// The item's id.
        id: Cow<'a, str>,
        /// `encrypted_content`; without it, the item can only be found where it was stored.
        encrypted: Option<Cow<'a, str>>,
    },
}

/// A tool.
#[derive(Debug, Clone)]
pub struct Tool<'a> {
    /// What it is.
    pub kind: ToolKind<'a>,
    /// The cache marker that ends with this tool.
    pub cache_control: Option<&'a RawValue>,
}

/// What a tool is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ToolKind<'a> {
    /// A function of the client.
    Function {
        /// Its name.
        name: Cow<'a, str>,
        /// What it is for.
        description: Option<Cow<'a, str>>,
        /// JSON Schema of its arguments.
        parameters: Option<&'a RawValue>,
        /// Whether arguments must follow the schema.
        strict: Option<bool>,
    },
    /// Anything else (hosted tools, custom tools), as the source's format writes it.
    Other {
        /// Its `type`.
        kind: Cow<'a, str>,
        /// The whole of it.
        raw: &'a RawValue,
    },
}

/// Which tool to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// The model decides.
    Auto,
    /// None.
    None,
    /// Some tool.
    Required,
    /// This tool.
    Named(Cow<'a, str>),
    /// One of these; `required` says whether one must be used.
    Allowed {
        /// Whether a tool must be used.
        required: bool,
        /// The names.
        names: Vec<Cow<'a, str>>,
    },
}

/// What form the answer must have.
#[derive(Debug, Clone, Default)]
pub enum OutputFormat<'a> {
    /// Any text.
    #[default]
    Text,
    /// A JSON object.
    Json,
    /// JSON of a schema.
    Schema {
        /// The schema's name (OpenAI needs one).
        name: Option<Cow<'a, str>>,
        /// What it is for.
        description: Option<Cow<'a, str>>,
        /// The schema.
        schema: &'a RawValue,
        /// Whether the answer must follow the schema.
        strict: Option<bool>,
    },
}

/// How to sample.
#[derive(Debug, Clone, Default)]
pub struct Sampling<'a> {
    /// 0 to 2 (Anthropic: to 1).
    pub temperature: Option<f64>,
    /// Nucleus.
    pub top_p: Option<f64>,
    /// Most likely tokens considered.
    pub top_k: Option<u32>,
    /// Texts that end the answer.
    pub stop: Vec<Cow<'a, str>>,
    /// Seed, as it is written.
    pub seed: Option<&'a RawValue>,
    /// −2 to 2.
    pub frequency_penalty: Option<f64>,
    /// −2 to 2.
    pub presence_penalty: Option<f64>,
    /// Whether to give the tokens' log-probabilities.
    pub logprobs: bool,
    /// How many alternatives with each token.
    pub top_logprobs: Option<u32>,
    /// How many answers.
    pub answers: Option<u32>,
}

/// How much to think.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReasoningConfig<'a> {
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`.
    pub effort: Option<Cow<'a, str>>,
    /// Tokens to think with (Anthropic's budget).
    pub budget: Option<u32>,
    /// Whether the client wants a summary, and which (`auto`, `concise`, `detailed`).
    pub summary: Option<Cow<'a, str>>,
}

/// What an upstream takes beyond, or short of, its format's letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Chat: write `cache_control`, `reasoning_content` and `thinking_blocks`, which gateways and open servers take and OpenAI
    /// itself may refuse. Default: true.
    pub extensions: bool,
    /// Chat: write `max_completion_tokens`, which OpenAI's newer models insist on, instead of `max_tokens`. Default: true.
    pub max_completion_tokens: bool,
    /// Chat and Responses: the role `developer` is known. Otherwise it is written as `system`. Default: true.
    pub developer: bool,
    /// Messages: `max_tokens` where the client gives none, because Anthropic insists on one. Default: 4096.
    pub default_max_tokens: u32,
    /// Messages: ask for thinking by `output_config.effort` and adaptive thinking (newer models) instead of by a budget
    /// (all models). Default: false.
    pub adaptive_thinking: bool,
}

// === impl Dialect ===

impl Default for Dialect {
    fn default() -> Self {
        Self {
            extensions: true,
            max_completion_tokens: true,
            developer: true,
            default_max_tokens: 4096,
            adaptive_thinking: false,
        }
    }
}

// === impl Conversation ===

impl<'a> Conversation<'a> {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`BadRequest`] names the field, what was found and what is allowed. A body that [`Envelope::parse`](crate::Envelope::parse)
    /// took can still fail here, in what routing does not look at.
    pub fn read(format: Format, body: &'a [u8]) -> Result<Self, BadRequest> {
        let text = std::str::from_utf8(body)
            .map_err(|e| BadRequest::body(format_args!("not valid UTF-8 after {} bytes", e.valid_up_to())))?;
        let raw: &RawValue =
            serde_json::from_str(text).map_err(|e| BadRequest::body(format_args!("not valid JSON: {e}")))?;
        let read = match format {
            Format::Chat => chat::read_request(raw),
            Format::Responses => responses::read_request(raw),
            Format::Messages => messages::read_request(raw),
        };
        Ok(read?)
    }

    /// Writes it as a request body of `format` for `model`, noting what that format cannot say.
    pub fn write(&self, format: Format, model: &str, dialect: Dialect, warnings: &mut Warnings) -> Vec<u8> {
        match format {
            Format::Chat => chat::write_request(self, model, dialect, warnings),
            Format::Responses => responses::write_request(self, model, dialect, warnings),
            Format::Messages => messages::write_request(self, model, dialect, warnings),
        }
    }
}

/// Translates a request body into another format for `model`. What could not be carried over is in the warnings.
///
/// # Errors
/// [`BadRequest`] where the body cannot be read.
pub fn translate_request(
    from: Format,
    to: Format,
    body: &[u8],
    model: &str,
    dialect: Dialect,
) -> Result<(Vec<u8>, Warnings), BadRequest> {
    let mut warnings = Warnings::default();
    let out = Conversation::read(from, body)?.write(to, model, dialect, &mut warnings);
    Ok((out, warnings))
}

// === impl Part ===

impl<'a> Part<'a> {
    /// A part without a cache marker.
    pub const fn new(content: PartContent<'a>) -> Self {
        Self {
            content,
            cache_control: None,
        }
    }

    /// A text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::new(PartContent::Text(text.into()))
    }

    /// Its text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            PartContent::Text(text) => Some(text),
            _ => None,
        }
    }
}

// === impl Message ===

impl Message<'_> {
    /// Its texts, joined by line feeds.
    pub fn text(&self) -> Cow<'_, str> {
        join(&self.parts)
    }
}

/// The texts among the parts, joined by line feeds.
pub(crate) fn join<'p>(parts: &'p [Part<'_>]) -> Cow<'p, str> {
    let mut texts = parts.iter().filter_map(Part::as_text);
    let Some(first) = texts.next() else {
        return Cow::Borrowed("");
    };
    let Some(second) = texts.next() else {
        return Cow::Borrowed(first);
    };
    let mut all = format!("{first}\n{second}");
    for text in texts {
        all.push('\n');
        all.push_str(text);
    }
    Cow::Owned(all)
}

// === impl Media ===

impl<'a> Media<'a> {
    /// A URL, taken apart where it is a base64 data URL.
    pub(crate) fn of_url(url: Cow<'a, str>) -> Self {
        fn split(url: &str) -> Option<(&str, &str)> {
            let rest = url
                .get(..5)
                .filter(|s| s.eq_ignore_ascii_case("data:"))
                .and(url.get(5..))?;
            let (head, data) = rest.split_once(',')?;
            Some((head.strip_suffix(";base64")?, data))
        }
        let media_type = |head: &str| head.split(';').next().unwrap_or_default().to_owned();
        match url {
            Cow::Borrowed(url) => match split(url) {
                Some((head, data)) => Self::Data {
                    media_type: head.split(';').next().unwrap_or_default().into(),
                    base64: data.into(),
                },
                None => Self::Url(url.into()),
            },
            Cow::Owned(url) => match split(&url) {
                Some((head, data)) => Self::Data {
                    media_type: media_type(head).into(),
                    base64: data.to_owned().into(),
                },
                None => Self::Url(url.into()),
            },
        }
    }

    /// As a URL, a data URL where it is inline. `None` for what is neither.
    pub(crate) fn to_url(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Url(url) => Some(Cow::Borrowed(url)),
            Self::Data { media_type, base64 } => Some(format!("data:{media_type};base64,{base64}").into()),
            Self::Text(_) | Self::FileId(_) => None,
        }
    }
}

// === impl Seal ===

/// Marks a seal of the other maker inside a field of ours, so that it can travel through a client that knows only one format.
const ITEM: &str = "openai-item:";
const SIGNATURE: &str = "anthropic-signature:";
const REDACTED: &str = "anthropic-redacted:";

impl<'a> Seal<'a> {
    /// As Anthropic's `signature`. A reasoning item of Responses goes in disguise, for the way through a client.
    pub(crate) fn to_signature(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Signature(signature) => Some(Cow::Borrowed(signature)),
            Self::Redacted(_) => None,
            Self::Item { id, encrypted } => {
                Some(format!("{ITEM}{id}:{}", encrypted.as_deref().unwrap_or_default()).into())
            }
        }
    }

    /// The seal of an Anthropic signature; an item of Responses sheds its disguise.
    pub(crate) fn of_signature(signature: Cow<'a, str>) -> Option<Self> {
        if signature.is_empty() {
            return None;
        }
        let Some(item) = signature.strip_prefix(ITEM) else {
            return Some(Self::Signature(signature));
        };
        let (id, encrypted) = item.split_once(':')?;
        Some(Self::Item {
            id: id.to_owned().into(),
            encrypted: (!encrypted.is_empty()).then(|| encrypted.to_owned().into()),
        })
    }

    /// As Responses' `encrypted_content`. Anthropic's seals go in disguise, for the way through a client.
    pub(crate) fn to_encrypted(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Signature(signature) => Some(format!("{SIGNATURE}{signature}").into()),
            Self::Redacted(data) => Some(format!("{REDACTED}{data}").into()),
            Self::Item { encrypted, .. } => encrypted.as_deref().map(Cow::Borrowed),
        }
    }

    /// The seal of a reasoning item of Responses; Anthropic's seals shed their disguise.
    pub(crate) fn of_item(id: Cow<'a, str>, encrypted: Option<Cow<'a, str>>) -> Self {
        if let Some(signature) = encrypted.as_deref().and_then(|e| e.strip_prefix(SIGNATURE)) {
            return Self::Signature(signature.to_owned().into());
        }
        if let Some(data) = encrypted.as_deref().and_then(|e| e.strip_prefix(REDACTED)) {
            return Self::Redacted(data.to_owned().into());
        }
        Self::Item { id, encrypted }
    }

    /// The same, owning its texts.
    pub fn into_owned(self) -> Seal<'static> {
        match self {
            Self::Signature(s) => Seal::Signature(s.into_owned().into()),
            Self::Redacted(s) => Seal::Redacted(s.into_owned().into()),
            Self::Item { id, encrypted } => Seal::Item {
                id: id.into_owned().into(),
                encrypted: encrypted.map(|e| e.into_owned().into()),
            },
        }
    }
}

// === impl ReasoningConfig ===

impl ReasoningConfig<'_> {
    /// The effort in words, from the budget where only that is known: to 4096 tokens low, to 12288 medium, above high.
    pub(crate) fn effort(&self) -> Option<&str> {
        self.effort.as_deref().or_else(|| {
            Some(match self.budget? {
                0 => "none",
                1..=4096 => "low",
                4097..=12288 => "medium",
                _ => "high",
            })
        })
    }

    /// The budget in tokens, from the effort where only that is known: minimal 1024, low 2048, medium 8192, high 16384, more
    /// than that 32768. `None` where there shall be no thinking.
    pub(crate) fn budget(&self) -> Option<u32> {
        let of_effort = |effort: &str| match effort {
            "none" => None,
            "minimal" => Some(1024),
            "low" => Some(2048),
            "high" => Some(16384),
            "xhigh" | "max" => Some(32768),
            _ => Some(8192),
        };
        match self.budget {
            Some(0) => None,
            Some(budget) => Some(budget),
            None => self.effort.as_deref().and_then(of_effort),
        }
    }
}
