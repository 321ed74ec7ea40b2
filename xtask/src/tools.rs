//! Programs that the examples need, which nearly every machine has.

use crate::apt;
use crate::console::Step;
use crate::failure::{Result, fail};
use crate::workspace::which;

/// The programs, each with Debian's package of it.
const TOOLS: [(&str, &str); 2] = [("curl", "curl"), ("node", "nodejs")];

/// Installs missing programs with apt, if that is permitted.
pub(crate) fn ensure() -> Result<()> {
    TOOLS.into_iter().filter(|(program, _)| which(program).is_none()).try_for_each(|(program, package)| {
        let step = Step::start(program, format_args!("installing {package} with apt-get ..."));
        if let Err(error) = apt::package(package) {
            return fail(format!(
                "expected {program} on PATH for the tests of the examples, found none, and it could not be installed: \
                 {error} (Debian: `apt install {package}`)"
            ));
        }
        step.done("installed");
        Ok(())
    })
}
