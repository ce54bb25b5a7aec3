//! How a read, a prompt or a completion finds its server.
//!
//! All of them only look, so what did not come to an answer may be asked for once more. Nobody else's resource or prompt stands in
//! for one: what a server that is away would have said, no other knows.

use std::sync::Arc;

use rmcp::{
    ErrorData,
    model::{
        ClientRequest, CompleteRequest, CompleteRequestParams, CompleteResult, ErrorCode, GetPromptRequest,
        GetPromptRequestParams, GetPromptResult, JsonObject, ReadResourceRequest, ReadResourceRequestParams,
        ReadResourceResult, Reference, ResourceContents,
    },
};

use crate::{
    exchange::{Answer, Exchange, To},
    failure::Failure,
    hub::Hub,
    reroute::may_go_on,
    server::{Server, State},
    shelf::{Found, Shelf, Where},
    stats::{Asked, Method},
    text::escaped,
    uri::qualified,
};

/// Longest name or URI that an error repeats, in bytes.
const REPEATED: usize = 300;

// === impl Hub ===

impl Hub {
    /// Reads a resource.
    ///
    /// # Errors
    /// That of its server as it came; else who was asked, and what came of it.
    pub(crate) async fn read(&self, uri: &str, with: &Exchange) -> Result<ReadResourceResult, ErrorData> {
        let shelf = self.shelf_with(|shelf| !matches!(shelf.find(uri), Found::Unlisted(_)));
        let places = match shelf.await.find(uri) {
            Found::One(place) => vec![place],
            Found::Several(places) => return Err(several(uri, &places)),
            Found::Unlisted(fitting) if fitting.is_empty() => return Err(self.no_resource(uri)),
            Found::Unlisted(fitting) => fitting,
        };
        let mut tried = Vec::new();
        for place in &places {
            let request = || {
                let params = ReadResourceRequestParams::new(place.uri.clone());
                ClientRequest::ReadResourceRequest(ReadResourceRequest::new(params))
            };
            // Who may be one of several is not waited for.
            let waits = places.len() == 1;
            match self.ask(&place.server, Method::Read, request, with, waits).await {
                Ok(result) => return Ok(shown(uri, place, result)),
                Err(failure) => {
                    let goes_on = may_go_on(&failure, true) || is_unknown(&failure);
                    tried.push((place.server.name(), failure));
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Err(unanswered(
            &format!("The resource `{}`", escaped(uri, REPEATED)),
            tried,
        ))
    }

    /// Gets a prompt.
    ///
    /// # Errors
    /// That of its server as it came; else that there is none of this name, or what came of it.
    pub(crate) async fn get_prompt(
        &self,
        name: &str,
        arguments: Option<JsonObject>,
        with: &Exchange,
    ) -> Result<GetPromptResult, ErrorData> {
        let shelf = self.shelf_with(|shelf| shelf.prompt(name).is_some()).await;
        let Some((server, prompt)) = shelf.prompt(name) else {
            return Err(self.no_prompt(name));
        };
        let request = || {
            let mut params = GetPromptRequestParams::new(prompt.name.clone());
            params.arguments.clone_from(&arguments);
            ClientRequest::GetPromptRequest(GetPromptRequest::new(params))
        };
        let result = self.ask(&server, Method::Prompt, request, with, true).await;
        result.map_err(|failure| {
            unanswered(
                &format!("The prompt {}", prompt.id),
                vec![(server.name(), failure)],
            )
        })
    }

    /// Completes an argument of a prompt or a template. Where a server completes nothing, nothing is what comes.
    ///
    /// # Errors
    /// As the others.
    pub(crate) async fn complete(
        &self,
        mut params: CompleteRequestParams,
        with: &Exchange,
    ) -> Result<CompleteResult, ErrorData> {
        let is_there = |shelf: &Shelf| match &params.r#ref {
            Reference::Prompt(reference) => shelf.prompt(&reference.name).is_some(),
            Reference::Resource(reference) => !matches!(shelf.find(&reference.uri), Found::Unlisted(_)),
            _ => true,
        };
        let shelf = self.shelf_with(is_there).await;
        let (server, of) = match &mut params.r#ref {
            Reference::Prompt(reference) => {
                let Some((server, prompt)) = shelf.prompt(&reference.name) else {
                    return Err(self.no_prompt(&reference.name));
                };
                reference.name.clone_from(&prompt.name);
                (server, format!("The prompt {}", prompt.id))
            }
            Reference::Resource(reference) => match shelf.find(&reference.uri) {
                Found::One(Where { server, uri }) => {
                    let of = format!("The resource `{}`", escaped(&reference.uri, REPEATED));
                    reference.uri = uri;
                    (server, of)
                }
                Found::Several(places) => return Err(several(&reference.uri, &places)),
                Found::Unlisted(_) => return Err(self.no_resource(&reference.uri)),
            },
            _ => {
                return Err(ErrorData::invalid_params(
                    "nothing of this kind is completed",
                    None,
                ));
            }
        };
        if !server
            .offers()
            .declared
            .is_some_and(|declared| declared.completions)
        {
            return Ok(CompleteResult::default());
        }
        params.meta = None;
        let request = || ClientRequest::CompleteRequest(CompleteRequest::new(params.clone()));
        // What is completed is being typed: a moment later it is another text.
        let result = self.ask(&server, Method::Complete, request, with, false).await;
        result.map_err(|failure| unanswered(&of, vec![(server.name(), failure)]))
    }

    /// The resources and prompts; waits for servers that are still starting where something is not there.
    async fn shelf_with(&self, is_there: impl Fn(&Shelf) -> bool) -> Arc<Shelf> {
        let shelf = self.shelf();
        if is_there(&shelf) {
            return shelf;
        }
        self.settled().await;
        self.shelf()
    }

    /// Asks a server; once more where it did not answer and comes back at once.
    async fn ask<A: Answer>(
        &self,
        server: &Arc<Server>,
        method: Method,
        request: impl Fn() -> ClientRequest,
        with: &Exchange,
        waits: bool,
    ) -> Result<A, Failure> {
        let to = To {
            server,
            limit: server.config.timeout,
            asked: Asked::Other {
                server: server.name(),
                method,
            },
        };
        let (failure, link_lost) = match server.enter() {
            Ok(link) => match with.send(&to, &link, request(), self.counts()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    let link_lost = failure.may_end_connection().then_some(link.number);
                    (failure, link_lost)
                }
            },
            Err(failure) => (failure, None),
        };
        // As with calls: one that is there is not waited for.
        let is_there = link_lost.is_none() && matches!(server.state(), State::Up(_));
        let may_wait = waits && may_go_on(&failure, true) && !is_there;
        if may_wait
            && self.is_back(server, with, link_lost).await
            && let Ok(link) = server.enter()
        {
            return with.send(&to, &link, request(), self.counts()).await;
        }
        Err(failure)
    }

    fn no_resource(&self, uri: &str) -> ErrorData {
        let uri = escaped(uri, REPEATED);
        let mut text = format!("No server lists a resource `{uri}`, and none has a template that it fits.");
        if let Some(name) = self.names().next() {
            let example = qualified(name, &uri);
            text.push_str(&format!(
                " A server can be asked by its name all the same, as in `{example}`."
            ));
        }
        self.add_missing(&mut text);
        ErrorData::resource_not_found(text, None)
    }

    fn no_prompt(&self, name: &str) -> ErrorData {
        let mut text = format!(
            "There is no prompt named `{}`; prompts/list names all there are.",
            escaped(name, REPEATED)
        );
        self.add_missing(&mut text);
        ErrorData::invalid_params(text, None)
    }

    fn add_missing(&self, text: &mut String) {
        for (server, why) in self.missing() {
            text.push_str(&format!(" The server {server} is missing: {why}."));
        }
    }
}

/// The result as its server gave it, but for URIs with the server's name in them where it was asked for by such a one: so what is
/// read of them next goes the same way.
fn shown(asked: &str, place: &Where, mut result: ReadResourceResult) -> ReadResourceResult {
    if asked != place.uri {
        for contents in &mut result.contents {
            if let ResourceContents::TextResourceContents { uri, .. }
            | ResourceContents::BlobResourceContents { uri, .. } = contents
            {
                *uri = qualified(place.server.name(), uri);
            }
        }
    }
    result
}

fn several(uri: &str, places: &[Where]) -> ErrorData {
    let ways: Vec<String> = places
        .iter()
        .map(|place| format!("`{}`", escaped(&place.qualified(), REPEATED)))
        .collect();
    let text = format!(
        "Several servers list `{}`, each its own. Ask for one of them: {}.",
        escaped(uri, REPEATED),
        ways.join(", ")
    );
    ErrorData::invalid_params(text, None)
}

/// Whether a server answered that it knows no such thing.
fn is_unknown(failure: &Failure) -> bool {
    let unknown = [ErrorCode::RESOURCE_NOT_FOUND, ErrorCode::INVALID_PARAMS];
    matches!(failure, Failure::Refused(error) if unknown.contains(&error.code))
}

/// The server's own error where it was the only one to be asked; else everybody, and what came of it.
fn unanswered(what: &str, mut tried: Vec<(&str, Failure)>) -> ErrorData {
    if let [(_, Failure::Refused(_))] = &tried[..]
        && let Some((_, Failure::Refused(error))) = tried.pop()
    {
        return error;
    }
    let mut text = format!("{what} brought no answer.");
    for (server, failure) in &tried {
        text.push_str(&format!("\n- {server}: {failure}"));
    }
    if !tried.is_empty() && tried.iter().all(|(_, failure)| is_unknown(failure)) {
        ErrorData::resource_not_found(text, None)
    } else {
        ErrorData::internal_error(text, None)
    }
}
