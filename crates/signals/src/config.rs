//! What a configuration says of signals, projections and decisions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Condition, Family, Number, PrototypeOptions,
    family::{
        authz::AuthzRule,
        complexity::ComplexityRule,
        context::ContextRule,
        conversation::ConversationRule,
        domain::{DomainOptions, DomainRule},
        embedding::{EmbeddingOptions, EmbeddingRule},
        event::EventRule,
        keyword::KeywordRule,
        language::LanguageRule,
        metadata::MetadataRule,
        structure::StructureRule,
    },
};

/// A whole policy: signals, projections and decisions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Rules by family and name.
    pub signals: SignalsConfig,
    /// What is made of signals before decisions look at them.
    pub projections: ProjectionsConfig,
    /// The decisions, in any order.
    pub decisions: Vec<DecisionRule>,
    /// Which of several matching decisions wins.
    pub strategy: Strategy,
}

/// Rules by family and name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SignalsConfig {
    /// Words and patterns in the user's text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub keyword: BTreeMap<String, KeywordRule>,
    /// How long the conversation is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, ContextRule>,
    /// Which language the user writes; a rule's name is the language's code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub language: BTreeMap<String, LanguageRule>,
    /// Who asks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub authz: BTreeMap<String, AuthzRule>,
    /// How the user's text is built.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub structure: BTreeMap<String, StructureRule>,
    /// How the conversation is built.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub conversation: BTreeMap<String, ConversationRule>,
    /// What happened.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub event: BTreeMap<String, EventRule>,
    /// What the caller says of the request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, MetadataRule>,
    /// Nearness to example texts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub embedding: BTreeMap<String, EmbeddingRule>,
    /// The field of knowledge.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub domain: BTreeMap<String, DomainRule>,
    /// How hard the question is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub complexity: BTreeMap<String, ComplexityRule>,
    /// Options of whole families.
    pub options: FamilyOptions,
}

/// Options of whole families.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FamilyOptions {
    /// The encoder (`NAME` or `NAME@FINGERPRINT`) on which the thresholds of embedding, domain and complexity were chosen:
    /// `check` warns when another one runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// How many embedding rules are emitted.
    pub embedding: EmbeddingOptions,
    /// How many domains a text has.
    pub domain: DomainOptions,
    /// How example texts become prototypes and how a text is scored against them.
    pub prototypes: PrototypeOptions,
}

/// What is made of signals before decisions look at them. No projection calls a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectionsConfig {
    /// Signals of which only one may hold at a time.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub partitions: BTreeMap<String, PartitionRule>,
    /// Weighted sums of signals.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, ScoreRule>,
    /// Names for ranges of a score: what decisions may refer to, as `projection:NAME`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mappings: BTreeMap<String, MappingRule>,
}

/// Signals of one family of which only the most confident holds (the first listed of equals). If none matched, the default
/// is taken as if it had, with confidence 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartitionRule {
    /// The members' family: `domain` or `embedding`.
    #[serde(rename = "type")]
    pub family: Family,
    /// The members' names.
    pub members: Vec<String>,
    /// The member that is taken when none matched.
    pub default: String,
    /// What becomes of the winner's confidence. Default: `exclusive`.
    #[serde(default)]
    pub semantics: PartitionSemantics,
    /// Temperature of the softmax, above 0. Default: 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
}

/// What becomes of the winner's confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartitionSemantics {
    /// It stays.
    #[default]
    Exclusive,
    /// It becomes its share in the softmax of the matched members' confidences, divided by the temperature.
    SoftmaxExclusive,
}

/// A weighted sum.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreRule {
    /// How the inputs are joined. Default, and the only one: `weighted_sum`.
    #[serde(default)]
    pub method: ScoreMethod,
    /// What is summed.
    pub inputs: Vec<ScoreInput>,
}

/// How inputs are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScoreMethod {
    /// The sum of weight times value.
    #[default]
    WeightedSum,
}

/// One term of a weighted sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreInput {
    /// A family, or `projection` for another score.
    #[serde(rename = "type")]
    pub kind: String,
    /// The rule's or the score's name. May be left out for `context`: the token estimate (with `value_source: raw`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `hard`, `medium` or `easy` of a complexity rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What the value is multiplied with; may be negative. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Which value. Default: `binary` of a signal, `score` of a projection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_source: Option<ValueSource>,
    /// The binary value of a match. Default: 1.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub on_match: Option<f64>,
    /// The binary value of a miss. Default: 0.
    #[serde(default, rename = "miss", skip_serializing_if = "Option::is_none")]
    pub on_miss: Option<f64>,
}

/// Which value of an input is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueSource {
    /// 1 for a match, 0 for a miss, or what `match` and `miss` say.
    Binary,
    /// The confidence; 0 without a match.
    Confidence,
    /// The raw number. Where there is none (NaN), the score has none either and no band holds.
    Raw,
    /// Another score.
    Score,
}

/// Names for ranges of a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappingRule {
    /// The score's name.
    pub source: String,
    /// Whether the first band that holds is emitted, or every one. Default: `threshold_bands`.
    #[serde(default)]
    pub method: MappingMethod,
    /// The bands, in order. Their names are what decisions refer to; they are unique over all mappings.
    pub bands: Vec<Band>,
    /// How an emitted band gets its confidence. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// Whether the first band that holds is emitted, or every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MappingMethod {
    /// The first band that holds.
    #[default]
    ThresholdBands,
    /// Every band that holds.
    MultiEmit,
}

/// A range of a score. Without bounds it holds for every score.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// What decisions call it.
    pub name: String,
    /// Below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lt: Option<Number>,
    /// At most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lte: Option<Number>,
    /// Above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gt: Option<Number>,
    /// At least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gte: Option<Number>,
}

/// How an emitted band gets its confidence: 1 / (1 + exp(-slope * distance)), where distance is the smallest from the score
/// to a bound of the band.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Calibration {
    /// The only method: `sigmoid_distance`.
    pub method: CalibrationMethod,
    /// How fast confidence grows with the distance, above 0. Default: 12.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slope: Option<f64>,
}

/// How a distance becomes a confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationMethod {
    /// The logistic function of slope times distance.
    #[default]
    SigmoidDistance,
}

/// When a decision holds and where it ranks. What is done then is its owner's business.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRule {
    /// Unique among the decisions.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Lower tiers win. As soon as a decision of a tier above 0 matches, choice goes by tier, confidence, priority, name.
    /// Default: 0.
    #[serde(default)]
    pub tier: u32,
    /// Higher priorities win. Default: 0.
    #[serde(default)]
    pub priority: i32,
    /// When it holds. Default: always, with confidence 0.
    #[serde(default)]
    pub when: Condition,
}

/// Which of several matching decisions wins, where none of them has a tier above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Highest priority, then highest confidence, then the name that sorts first.
    #[default]
    Priority,
    /// Highest confidence, then highest priority, then the name that sorts first.
    Confidence,
}

// === impl SignalsConfig ===

impl SignalsConfig {
    /// The names of a family's rules, sorted.
    pub fn names(&self, family: Family) -> Vec<&str> {
        fn keys<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
            map.keys().map(String::as_str).collect()
        }
        match family {
            Family::Keyword => keys(&self.keyword),
            Family::Context => keys(&self.context),
            Family::Language => keys(&self.language),
            Family::Authz => keys(&self.authz),
            Family::Structure => keys(&self.structure),
            Family::Conversation => keys(&self.conversation),
            Family::Event => keys(&self.event),
            Family::Metadata => keys(&self.metadata),
            Family::Embedding => keys(&self.embedding),
            Family::Domain => keys(&self.domain),
            Family::Complexity => keys(&self.complexity),
        }
    }
}

// === impl DecisionRule ===

impl DecisionRule {
    /// A decision of this name and condition, priority 0.
    pub fn new(name: impl Into<String>, when: Condition) -> Self {
        Self {
            name: name.into(),
            when,
            ..Self::default()
        }
    }
}
