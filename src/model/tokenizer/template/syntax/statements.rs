//! Statements, rebuilt with what Python makes of them.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{self, Expr, Spanned, Stmt};
use minijinja::value::Value;
use minijinja::{Error, ErrorKind};

use super::{Pass, Place};

/// The tree of a template with Python's operators. Errors: what cannot be had, by name.
pub fn python<'s>(
    tree: &Stmt<'s>,
    source: &'s str,
    is_filter: &dyn Fn(&str) -> bool,
    is_test: &dyn Fn(&str) -> bool,
) -> Result<Stmt<'s>, Error> {
    Pass { source, is_filter, is_test }.statement(tree, Place::default())
}

/// An error at a place.
pub fn refused(what: &str, span: Span) -> Error {
    Error::new(ErrorKind::SyntaxError, format!("{what}, in line {}", span.start_line))
}

/// A statement that ends the run with a sentence, for what is wrong only when it is reached.
fn stop<'s>(what: &str, span: Span) -> Stmt<'s> {
    let text = Value::from(format!("{what} is not supported"));
    let text = Expr::Const(Spanned::new(ast::Const { value: text }, span));
    let expr = ast::Filter { name: "refuse", expr: Some(text), args: Vec::new() };
    let expr = Expr::Filter(Spanned::new(expr, span));
    Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr }, span))
}

/// Names that no template can have, for values of `with` that are kept until all are known.
const KEPT: [&str; 8] = ["<0>", "<1>", "<2>", "<3>", "<4>", "<5>", "<6>", "<7>"];

impl<'s> Pass<'s, '_> {
    fn body(&self, body: &[Stmt<'s>], place: Place) -> Result<Vec<Stmt<'s>>, Error> {
        let place = Place { nested: true, ..place };
        body.iter().map(|statement| self.statement(statement, place)).collect()
    }

    pub(super) fn statement(&self, statement: &Stmt<'s>, at: Place) -> Result<Stmt<'s>, Error> {
        Ok(match statement {
            Stmt::Template(node) => {
                let children = &node.children;
                let children = children.iter().map(|child| self.statement(child, at));
                let children = children.collect::<Result<_, _>>()?;
                Stmt::Template(Spanned::new(ast::Template { children }, node.span()))
            }
            Stmt::EmitExpr(node) => {
                let expr = self.expression(&node.expr, at)?;
                Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr }, node.span()))
            }
            Stmt::EmitRaw(node) => {
                Stmt::EmitRaw(Spanned::new(ast::EmitRaw { raw: node.raw }, node.span()))
            }
            Stmt::ForLoop(node) => self.for_loop(node, at)?,
            Stmt::IfCond(node) => {
                let inside = Place { conditional: true, ..at };
                let new = ast::IfCond {
                    expr: self.expression(&node.expr, at)?,
                    true_body: self.body(&node.true_body, inside)?,
                    false_body: self.body(&node.false_body, inside)?,
                };
                Stmt::IfCond(Spanned::new(new, node.span()))
            }
            Stmt::WithBlock(node) => self.with(node, at)?,
            Stmt::Set(node) => {
                let target = self.target(&node.target)?;
                let expr = self.expression(&node.expr, at)?;
                Stmt::Set(Spanned::new(ast::Set { target, expr }, node.span()))
            }
            Stmt::SetBlock(node) => {
                let new = ast::SetBlock {
                    target: self.target(&node.target)?,
                    filter: node.filter.as_ref().map(|f| self.expression(f, at)).transpose()?,
                    body: self.body(&node.body, at)?,
                };
                Stmt::SetBlock(Spanned::new(new, node.span()))
            }
            Stmt::FilterBlock(node) => {
                let new = ast::FilterBlock {
                    filter: self.expression(&node.filter, at)?,
                    filter_span: node.filter_span,
                    body: self.body(&node.body, at)?,
                };
                Stmt::FilterBlock(Spanned::new(new, node.span()))
            }
            Stmt::Block(node) if !at.nested => {
                let body = self.body(&node.body, at)?;
                let new = ast::Block { name: node.name, required: node.required, body };
                Stmt::Block(Spanned::new(new, node.span()))
            }
            Stmt::Macro(node) => Stmt::Macro(self.declare(node, at)?),
            Stmt::CallBlock(node) => {
                let new = ast::CallBlock {
                    call: self.call(&node.call, at)?,
                    call_expr_span: node.call_expr_span,
                    macro_decl: self.declare(&node.macro_decl, at)?,
                };
                Stmt::CallBlock(Spanned::new(new, node.span()))
            }
            Stmt::Continue(node) => Stmt::Continue(Spanned::new(ast::Continue, node.span())),
            Stmt::Break(node) => Stmt::Break(Spanned::new(ast::Break, node.span())),
            Stmt::AutoEscape(node) => stop("`autoescape`", node.span()),
            Stmt::Block(node) => stop("`block` inside of another statement", node.span()),
            Stmt::Import(node) => stop("`import`", node.span()),
            Stmt::FromImport(node) => stop("`from ... import`", node.span()),
            Stmt::Extends(node) => stop("`extends`", node.span()),
            Stmt::Include(node) => stop("`include`", node.span()),
            Stmt::Do(node) => return Err(refused("there is no tag `do`", node.span())),
        })
    }

    fn for_loop(&self, node: &Spanned<ast::ForLoop<'s>>, at: Place) -> Result<Stmt<'s>, Error> {
        let iter = self.expression(&node.iter, at)?;
        let new = ast::ForLoop {
            target: self.target(&node.target)?,
            iter: self.filter("for", iter, Vec::new(), node.iter.span()),
            filter_expr: node.filter_expr.as_ref().map(|e| self.expression(e, at)).transpose()?,
            recursive: node.recursive,
            body: self.body(&node.body, at)?,
            else_body: self.body(&node.else_body, at)?,
        };
        Ok(Stmt::ForLoop(Spanned::new(new, node.span())))
    }

    /// `with`: all values are found before the first name is set.
    fn with(&self, node: &Spanned<ast::WithBlock<'s>>, at: Place) -> Result<Stmt<'s>, Error> {
        let span = node.span();
        if node.assignments.len() > KEPT.len() {
            return Err(refused("`with` takes no more than 8 names", span));
        }
        let body = self.body(&node.body, at)?;
        let (mut outer, mut inner) = (Vec::new(), Vec::new());
        for ((target, value), name) in node.assignments.iter().zip(KEPT) {
            let kept = || Expr::Var(Spanned::new(ast::Var { id: name }, span));
            outer.push((kept(), self.expression(value, at)?));
            inner.push((self.target(target)?, kept()));
        }
        let block = |assignments, body| {
            Stmt::WithBlock(Spanned::new(ast::WithBlock { assignments, body }, span))
        };
        Ok(block(outer, vec![block(inner, body)]))
    }

    fn declare(
        &self,
        node: &Spanned<ast::Macro<'s>>,
        at: Place,
    ) -> Result<Spanned<ast::Macro<'s>>, Error> {
        let defaults = node.defaults.iter().map(|value| self.expression(value, at));
        let new = ast::Macro {
            name: node.name,
            args: node.args.iter().map(|arg| self.target(arg)).collect::<Result<_, _>>()?,
            defaults: defaults.collect::<Result<_, _>>()?,
            body: self.body(&node.body, Place { in_macro: true, ..at })?,
        };
        Ok(Spanned::new(new, node.span()))
    }

    /// What is assigned to: a name, an attribute of a namespace, or some of them.
    fn target(&self, target: &Expr<'s>) -> Result<Expr<'s>, Error> {
        Ok(match target {
            Expr::Var(node) => Expr::Var(Spanned::new(ast::Var { id: node.id }, node.span())),
            Expr::GetAttr(node) => {
                if node.name.starts_with('_') {
                    let what = format!("`{}` of a namespace cannot be set", node.name);
                    return Err(refused(&what, node.span()));
                }
                let new = ast::GetAttr { expr: self.target(&node.expr)?, name: node.name };
                Expr::GetAttr(Spanned::new(new, node.span()))
            }
            Expr::List(node) => {
                let items = node.items.iter().map(|item| self.target(item));
                let items = items.collect::<Result<_, _>>()?;
                Expr::List(Spanned::new(ast::List { items }, node.span()))
            }
            Expr::Tuple(node) => {
                let items = node.items.iter().map(|item| self.target(item));
                let items = items.collect::<Result<_, _>>()?;
                Expr::Tuple(Spanned::new(ast::Tuple { items }, node.span()))
            }
            other => {
                let what = format!("{} cannot be assigned to", other.description());
                return Err(refused(&what, other.span()));
            }
        })
    }
}
