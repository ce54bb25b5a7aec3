//! What the scripted server offers beside tools. What a URI or a prompt's name holds says what happens: `die`, `sleep`, `huge`,
//! `broken`, `unknown`; anything else is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rmcp::{
    ErrorData,
    model::{
        CompleteRequestParams, CompleteResult, CompletionInfo, GetPromptRequestParams, GetPromptResult,
        PaginatedRequestParams, Prompt, PromptArgument, PromptMessage, ReadResourceResult, Resource,
        ResourceContents, ResourceTemplate, Role, ServerCapabilities,
    },
};

#[derive(Clone, Default)]
pub(crate) struct Offers {
    pub(crate) resources: Vec<String>,
    pub(crate) templates: Vec<String>,
    pub(crate) prompts: Vec<String>,
    pub(crate) completes: bool,
    /// Items of a page; 0: all.
    pub(crate) page: usize,
    /// Lists of resources and prompts never come.
    pub(crate) hangs: bool,
    pub(crate) grown: Arc<AtomicUsize>,
}

impl Offers {
    pub(crate) fn declare(&self, capabilities: &mut ServerCapabilities) {
        let all = ServerCapabilities::builder()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_completions()
            .build();
        if !self.resources.is_empty() || !self.templates.is_empty() || self.hangs {
            capabilities.resources = all.resources;
        }
        if !self.prompts.is_empty() {
            capabilities.prompts = all.prompts;
        }
        if self.completes {
            capabilities.completions = all.completions;
        }
    }

    /// A page of a list, and where the next one begins.
    pub(crate) async fn page<T>(
        &self,
        all: Vec<T>,
        asked: Option<PaginatedRequestParams>,
    ) -> (Vec<T>, Option<String>) {
        if self.hangs {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        let begin = asked
            .and_then(|asked| asked.cursor)
            .and_then(|cursor| cursor.parse().ok());
        let (begin, count) = (begin.unwrap_or(0), all.len());
        let size = if self.page == 0 { count } else { self.page };
        let next = (begin + size < count).then(|| (begin + size).to_string());
        (all.into_iter().skip(begin).take(size).collect(), next)
    }

    fn with_grown(&self, own: &[String], grown: &str) -> Vec<String> {
        let more = (0..self.grown.load(Ordering::SeqCst)).map(|i| format!("{grown}{i}"));
        own.iter().cloned().chain(more).collect()
    }

    pub(crate) fn resources(&self, of: &str) -> Vec<Resource> {
        let all = self.with_grown(&self.resources, "grown:");
        let resource = |uri: String| {
            let resource = Resource::new(uri.clone(), format!("\u{1b}[2J{uri}"));
            resource
                .with_description(format!("One of {of}"))
                .with_mime_type("text/plain")
        };
        all.into_iter().map(resource).collect()
    }

    pub(crate) fn templates(&self) -> Vec<ResourceTemplate> {
        let templates = self.templates.iter();
        templates
            .map(|template| ResourceTemplate::new(template, "some"))
            .collect()
    }

    pub(crate) fn prompts(&self) -> Vec<Prompt> {
        let all = self.with_grown(&self.prompts, "grown_");
        let arguments = vec![PromptArgument::new("of").with_required(false)];
        all.into_iter()
            .map(|name| Prompt::new(name, Some("Says\u{202e} something"), Some(arguments.clone())))
            .collect()
    }

    async fn happens(&self, what: &str) -> Result<(), ErrorData> {
        if what.contains("die") {
            std::process::exit(7);
        }
        if what.contains("sleep") {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        if what.contains("broken") {
            return Err(ErrorData::internal_error("broken inside", None));
        }
        Ok(())
    }

    pub(crate) async fn read(&self, of: &str, uri: &str) -> Result<ReadResourceResult, ErrorData> {
        self.happens(uri).await?;
        let fits = |template: &String| {
            template
                .split('{')
                .next()
                .is_some_and(|first| uri.starts_with(first))
        };
        let is_listed = self
            .with_grown(&self.resources, "grown:")
            .iter()
            .any(|own| own == uri);
        if uri.contains("unknown") || !(is_listed || self.templates.iter().any(fits)) {
            return Err(ErrorData::resource_not_found(format!("{of} has no {uri}"), None));
        }
        let text = if uri.contains("huge") {
            "x".repeat(3_000_000)
        } else {
            format!("{of}: {uri}")
        };
        Ok(ReadResourceResult::new(vec![
            ResourceContents::text(text, uri),
            ResourceContents::blob("AAAA", format!("{uri}/more")),
        ]))
    }

    pub(crate) async fn prompt(
        &self,
        of: &str,
        request: GetPromptRequestParams,
    ) -> Result<GetPromptResult, ErrorData> {
        self.happens(&request.name).await?;
        let of_what = request.arguments.unwrap_or_default();
        let of_what = of_what.get("of").and_then(|of| of.as_str()).unwrap_or("nothing");
        let text = format!("{of}: {} of {of_what}", request.name);
        Ok(GetPromptResult::new(vec![PromptMessage::new_text(
            Role::User,
            text,
        )]))
    }

    pub(crate) fn complete(&self, of: &str, request: &CompleteRequestParams) -> CompleteResult {
        let own = request.r#ref.as_prompt_name().or(request.r#ref.as_resource_uri());
        let value = format!("{of} {} {}", own.unwrap_or_default(), request.argument.value);
        let values = CompletionInfo::with_all_values(vec![value]);
        CompleteResult::new(values.unwrap_or_default())
    }
}
