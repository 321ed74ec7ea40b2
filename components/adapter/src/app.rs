//! The app of the instance, configured once from variables and file.

use crate::env::{SpinEnv, say};
use crate::upstream::Behind;
use futures_util::future::join_all;
use http::StatusCode;
use spindrift::app::App;
use spindrift::config::ConfigErrors;
use spindrift::problem::Problem;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::rc::Rc;

/// Where Spin puts the file that the manifest names.
const FILE: &str = "/spindrift.toml";

thread_local! {
    static APP: RefCell<Option<Result<Rc<App<SpinEnv>>, Problem>>> = const { RefCell::new(None) };
}

/// Returns the app of this instance, or the answer to all requests while its configuration is invalid.
pub(crate) async fn instance(behind: Behind) -> Result<Rc<App<SpinEnv>>, Problem> {
    if let Some(app) = APP.with_borrow(Clone::clone) {
        return app;
    }
    let variables = variables(behind).await;
    APP.with_borrow_mut(|app| app.get_or_insert_with(|| build(behind, &variables)).clone())
}

fn build(behind: Behind, variables: &HashMap<String, String>) -> Result<Rc<App<SpinEnv>>, Problem> {
    let file = file().map_err(|error| error.to_string());
    let get = |name: &str| variables.get(name).cloned();
    let file = file.as_deref().map_err(String::as_str);
    let app = App::in_role(behind.role(), SpinEnv { behind }, &get, file);
    app.map(Rc::new).map_err(|errors| wrong(&errors))
}

/// Without a file, everything has its default. A component that is given no files at all gets the same error as for one
/// that is not there.
fn file() -> std::io::Result<Vec<u8>> {
    match std::fs::read(FILE) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn wrong(errors: &ConfigErrors) -> Problem {
    say(&format!("the configuration is wrong:\n{errors}"));
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the configuration of this cache is wrong")
        .with("errors", all)
}

async fn variables(behind: Behind) -> HashMap<String, String> {
    let read = behind.role().variables().into_iter().map(|name| async move {
        let value = spin_sdk::variables::get(&name).await;
        (name, value)
    });
    // A variable that the manifest does not give to the component counts as not set.
    let set: HashMap<_, _> =
        join_all(read).await.into_iter().filter_map(|(name, value)| Some((name, value.ok()?))).collect();
    let question = match behind {
        Behind::Origin => return set,
        Behind::Next(_) => "does the middleware inherit \"variables\"?",
        Behind::Nobody => "does the manifest give the component any?",
    };
    if set.is_empty() {
        say(&format!("no variable is set, so all have their defaults: {question}"));
    }
    set
}
