//! Who asks.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use vouchsafe_protocol::id::{OperatorName, RoleName};

use crate::context::{Context, Conversation, Speaker};
use crate::failure::Problem;

/// Who asks.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Who asks")]
pub(crate) struct Who {
    /// 'operator', an operator's name, or a role whose identity is in the directory [default: for what reads a secret
    /// or uses a key the agent; for all else the operator if the directory holds an operator's key, and the agent if
    /// not]
    #[arg(long = "as", value_name = "NAME")]
    speaker: Option<String>,
    /// The agent whose identity is in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "speaker")]
    identity_dir: Option<PathBuf>,
}

/// What is wanted decides who asks, unless a flag says so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Manage,
    Read,
}

impl Who {
    /// A session as an agent: the one named, or the only one there is.
    pub(crate) async fn agent(&self, context: &Context) -> Result<Conversation> {
        self.connect(Wish::Read, context).await
    }

    /// A session as whoever manages secrets.
    pub(crate) async fn manager(&self, context: &Context) -> Result<Conversation> {
        self.connect(Wish::Manage, context).await
    }

    async fn connect(&self, wish: Wish, context: &Context) -> Result<Conversation> {
        if let Some(dir) = &self.identity_dir {
            return context.as_agent(dir).await;
        }
        match self.speaker(wish, context)? {
            Speaker::Agent(role) => context.as_agent(&context.home.agent_dir(&role)).await,
            Speaker::Operator(name) => context.as_operator(Some(&name)).await,
        }
    }

    fn speaker(&self, wish: Wish, context: &Context) -> Result<Speaker> {
        let (operators, agents) = (context.home.operators()?, context.home.agents()?);
        if let Some(name) = self.speaker.as_deref() {
            let operator: Option<OperatorName> = name.parse().ok();
            let role: Option<RoleName> = name.parse().ok();
            return match (operator, role) {
                (Some(operator), _) if operators.contains(&operator) => Ok(Speaker::Operator(operator)),
                _ if name == "operator" => Ok(Speaker::Operator(context.operator(None)?)),
                (_, Some(role)) if agents.contains(&role) => Ok(Speaker::Agent(role)),
                _ => Err(Problem::new("no-identity", format!("nobody called '{name}' is in this directory"))
                    .hint("'vouchsafe introduce' makes an agent's identity")
                    .into()),
            };
        }
        match (wish, agents.as_slice()) {
            (Wish::Manage, _) if !operators.is_empty() => Ok(Speaker::Operator(context.operator(None)?)),
            (_, [one]) => Ok(Speaker::Agent(one.clone())),
            (_, []) => Err(Problem::new("no-identity", "there is no agent's identity in this directory")
                .hint("run 'vouchsafe introduce --role ROLE --platform tpm|snp|sim' first")
                .into()),
            (_, _) => Err(Problem::usage("there are several agents' identities here")
                .hint("say which with --as ROLE")
                .into()),
        }
    }
}
