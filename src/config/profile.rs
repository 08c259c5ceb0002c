//! The profiles in AWS' shared files: the check that a selected one exists, and its region.

use std::fs;
use std::path::PathBuf;

use super::quoted;

/// The files of an environment.
#[derive(Debug)]
pub(super) struct ProfileFiles {
    config: PathBuf,
    credentials: PathBuf,
}

impl ProfileFiles {
    /// Returns the files that the SDK reads with these variables; `None` if it cannot find them either.
    pub(super) fn of(given: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let home = given("HOME").or_else(|| given("USERPROFILE"));
        let file = |variable: &str, name: &str| {
            let default = || Some(PathBuf::from(home.clone()?).join(".aws").join(name));
            given(variable).map(PathBuf::from).or_else(default)
        };
        Some(Self {
            config: file("AWS_CONFIG_FILE", "config")?,
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", "credentials")?,
        })
    }

    /// Returns the error if neither file has the profile. A file that cannot be read has none.
    pub(super) fn check(&self, profile: &str) -> Result<(), String> {
        let [config, credentials] = [&self.config, &self.credentials]
            .map(|path| fs::read_to_string(path).unwrap_or_default());
        let mut names = names_of_config(&config);
        names.extend(names_of_credentials(&credentials));
        // Without files the SDK has an empty one of this name.
        if profile == "default" || names.contains(&profile) {
            return Ok(());
        }
        names.sort_unstable();
        names.dedup();
        let known = match names.is_empty() {
            true => "they have none".to_owned(),
            false => format!("they have {}", names.join(", ")),
        };
        Err(format!(
            "AWS_PROFILE is {}, which is neither in {} nor in {}; {known}",
            quoted(profile),
            self.config.display(),
            self.credentials.display()
        ))
    }

    /// Returns the region of a profile, if it has one.
    pub(super) fn region(&self, profile: &str) -> Option<String> {
        let [config, credentials] = [&self.config, &self.credentials]
            .map(|path| fs::read_to_string(path).unwrap_or_default());
        // The SDK takes what both have from the file of credentials.
        let of_credentials = region_in(&credentials, |head| head == profile);
        of_credentials.or_else(|| region_in(&config, |head| name_in_config(head) == Some(profile)))
    }
}

/// Returns the region in the sections whose heads are those of a profile.
fn region_in(text: &str, is_head: impl Fn(&str) -> bool) -> Option<String> {
    let mut is_inside = false;
    let mut region = None;
    for line in text.lines() {
        if let Some(head) = head(line) {
            is_inside = is_head(head);
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| is_inside) else {
            continue;
        };
        // A key with a space before it belongs to the one above.
        if key.trim_end().eq_ignore_ascii_case("region") {
            let comment = [" #", " ;", "\t#", "\t;"].iter();
            let end = comment.filter_map(|start| value.find(start)).min();
            let value = value[..end.unwrap_or(value.len())].trim();
            region = (!value.is_empty()).then(|| value.to_owned());
        }
    }
    region
}

/// Returns the name in the head of a section.
fn head(line: &str) -> Option<&str> {
    let (name, _) = line.trim().strip_prefix('[')?.split_once(']')?;
    Some(name.trim())
}

/// Returns the profile of a section of the configuration file.
fn name_in_config(head: &str) -> Option<&str> {
    match head.split_once(char::is_whitespace) {
        Some(("profile", name)) => Some(name.trim()),
        None if head == "default" => Some(head),
        _ => None,
    }
}

/// Returns the names in the heads of sections.
fn sections(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(head)
}

/// Returns the profiles in the text of a configuration file.
fn names_of_config(text: &str) -> Vec<&str> {
    sections(text).filter_map(name_in_config).collect()
}

/// Returns the profiles in the text of a file of credentials.
fn names_of_credentials(text: &str) -> Vec<&str> {
    sections(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_sections_of_either_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let given = |name: &str| match name {
            "AWS_CONFIG_FILE" => Some(path("config")),
            "HOME" => Some(path("home")),
            _ => None,
        };
        let files = ProfileFiles::of(given).unwrap();
        assert!(files.check("default").is_ok());
        let error = files.check("prod").unwrap_err();
        let end = "/home/.aws/credentials; they have none";
        assert!(error.ends_with(end), "{error}");
        let config = "[default]\nregion = x\n[profile prod]\n [ profile  dev ] # mine\n[sso-session s]\n[plain]\n";
        fs::write(path("config"), config).unwrap();
        fs::create_dir_all(folder.path().join("home/.aws")).unwrap();
        fs::write(
            path("home/.aws/credentials"),
            "[ci]\naws_access_key_id = x\n",
        )
        .unwrap();
        for profile in ["prod", "dev", "ci", "default"] {
            assert_eq!(files.check(profile), Ok(()), "{profile}");
        }
        for profile in ["plain", "s", "Prod", "nosuch"] {
            let error = files.check(profile).unwrap_err();
            assert!(error.starts_with(&format!("AWS_PROFILE is {profile:?}, which is")));
            assert!(
                error.ends_with("they have ci, default, dev, prod"),
                "{error}"
            );
        }
        assert!(ProfileFiles::of(|_| None).is_none());
    }

    #[test]
    fn the_region_of_a_profile_is_in_either_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let files = ProfileFiles::of(|name| match name {
            "AWS_CONFIG_FILE" => Some(path("config")),
            "AWS_SHARED_CREDENTIALS_FILE" => Some(path("credentials")),
            _ => None,
        });
        let files = files.unwrap();
        assert_eq!(files.region("default"), None);
        let config = "region = none\n[default]\nregion = eu-west-1 # mine\n[profile prod]\nREGION=us-west-2\n\
                      s3 =\n  region = nested\n[profile both]\nregion = us-east-2\n[profile empty]\nregion =\n\
                      [other]\nregion = us-east-1\n";
        fs::write(path("config"), config).unwrap();
        let credentials = "[both]\nregion = ap-south-1\n[ci]\nregion=eu-central-1\n";
        fs::write(path("credentials"), credentials).unwrap();
        for (profile, expected) in [
            ("default", Some("eu-west-1")),
            ("prod", Some("us-west-2")),
            ("both", Some("ap-south-1")),
            ("ci", Some("eu-central-1")),
            ("empty", None),
            ("other", None),
            ("nosuch", None),
        ] {
            assert_eq!(files.region(profile).as_deref(), expected, "{profile}");
        }
    }
}
