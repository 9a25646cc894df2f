//! Expressions, rebuilt: an operator that means something else in Python becomes a filter of its
//! name, which no template can call by itself.

use minijinja::Error;
use minijinja::machinery::Span;
use minijinja::machinery::ast::{self, BinOpKind, CallArg, CompareOpKind, Expr, Spanned};
use minijinja::value::Value;

use super::statements::refused;
use super::{Pass, Place, escapes};
use crate::model::tokenizer::template::methods;

impl<'s> Pass<'s, '_> {
    /// A filter applied to an expression.
    pub(super) fn filter(
        &self,
        name: &'s str,
        expr: Expr<'s>,
        args: Vec<Expr<'s>>,
        span: Span,
    ) -> Expr<'s> {
        let args = args.into_iter().map(CallArg::Pos).collect();
        Expr::Filter(Spanned::new(ast::Filter { name, expr: Some(expr), args }, span))
    }

    pub(super) fn expression(&self, expr: &Expr<'s>, at: Place) -> Result<Expr<'s>, Error> {
        let span = expr.span();
        Ok(match expr {
            Expr::Var(node) => {
                let id = node.id;
                if id == "self" || at.in_macro && (id == "varargs" || id == "kwargs") {
                    return Err(refused(&format!("`{id}` is not supported"), span));
                }
                Expr::Var(Spanned::new(ast::Var { id }, span))
            }
            Expr::Const(node) => {
                if node.value.as_str().is_some() {
                    escapes::check(self.source, span)?;
                }
                if node.value.is_integer() {
                    escapes::check_number(self.source, span)?;
                }
                let value = node.value.clone();
                Expr::Const(Spanned::new(ast::Const { value }, span))
            }
            Expr::Slice(node) => {
                let part = |part: &Option<Expr<'s>>| {
                    part.as_ref().map(|expr| self.expression(expr, at)).transpose()
                };
                let of = self.expression(&node.expr, at)?;
                let new = ast::Slice {
                    expr: self.filter("[:", of, Vec::new(), span),
                    start: part(&node.start)?,
                    stop: part(&node.stop)?,
                    step: part(&node.step)?,
                };
                let slice = Expr::Slice(Spanned::new(new, span));
                self.filter("settled", slice, Vec::new(), span)
            }
            Expr::UnaryOp(node) => {
                #[expect(clippy::needless_match, reason = "the kind cannot be copied")]
                let op = match node.op {
                    ast::UnaryOpKind::Not => ast::UnaryOpKind::Not,
                    ast::UnaryOpKind::Neg => ast::UnaryOpKind::Neg,
                };
                let expr = self.expression(&node.expr, at)?;
                Expr::UnaryOp(Spanned::new(ast::UnaryOp { op, expr }, span))
            }
            Expr::BinOp(node) => self.operator(node, at)?,
            Expr::Compare(node) => {
                let first = self.expression(&node.expr, at)?;
                let mut args = Vec::new();
                for op in &node.ops {
                    let name = Value::from(compared(op.op));
                    args.push(Expr::Const(Spanned::new(ast::Const { value: name }, span)));
                    args.push(self.expression(&op.expr, at)?);
                }
                self.filter("compare", first, args, span)
            }
            Expr::IfExpr(node) => {
                let inside = Place { conditional: true, ..at };
                let other = node.false_expr.as_ref();
                let new = ast::IfExpr {
                    test_expr: self.expression(&node.test_expr, at)?,
                    true_expr: self.expression(&node.true_expr, inside)?,
                    false_expr: other.map(|e| self.expression(e, inside)).transpose()?,
                };
                Expr::IfExpr(Spanned::new(new, span))
            }
            Expr::Filter(node) => {
                if !at.conditional && !(self.is_filter)(node.name) {
                    return Err(refused(&format!("there is no filter `{}`", node.name), span));
                }
                let expr = node.expr.as_ref().map(|e| self.expression(e, at)).transpose()?;
                let args = self.arguments(&node.args, at)?;
                Expr::Filter(Spanned::new(ast::Filter { name: node.name, expr, args }, span))
            }
            Expr::Test(node) => {
                if !at.conditional && !(self.is_test)(node.name) {
                    return Err(refused(&format!("there is no test `{}`", node.name), span));
                }
                if matches!(node.expr, Expr::Test(_)) {
                    return Err(refused("a test of a test is not supported", span));
                }
                let expr = self.expression(&node.expr, at)?;
                let args = self.arguments(&node.args, at)?;
                Expr::Test(Spanned::new(ast::Test { name: node.name, expr, args }, span))
            }
            Expr::GetAttr(node) => {
                let expr = self.expression(&node.expr, at)?;
                if methods::is_attribute(node.name) {
                    let name = ast::Const { value: Value::from(node.name) };
                    let name = Expr::Const(Spanned::new(name, span));
                    self.filter(".", expr, vec![name], span)
                } else {
                    Expr::GetAttr(Spanned::new(ast::GetAttr { expr, name: node.name }, span))
                }
            }
            Expr::GetItem(node) => {
                let expr = self.expression(&node.expr, at)?;
                let subscript_expr = self.expression(&node.subscript_expr, at)?;
                let is_plain = matches!(&subscript_expr, Expr::Const(key)
                    if key.value.as_str().is_some_and(|name| !methods::is_attribute(name))
                        || key.value.as_i64().is_some() && key.value.is_integer());
                if is_plain {
                    Expr::GetItem(Spanned::new(ast::GetItem { expr, subscript_expr }, span))
                } else {
                    self.filter("[]", expr, vec![subscript_expr], span)
                }
            }
            Expr::Call(node) => Expr::Call(self.call(node, at)?),
            Expr::List(node) => {
                Expr::List(Spanned::new(ast::List { items: self.all(&node.items, at)? }, span))
            }
            Expr::Tuple(node) => {
                Expr::Tuple(Spanned::new(ast::Tuple { items: self.all(&node.items, at)? }, span))
            }
            Expr::Map(node) => {
                if node.keys.iter().any(|key| matches!(key, Expr::List(_) | Expr::Map(_))) {
                    return Err(refused("a list or dictionary cannot be a key", span));
                }
                let keys = self.all(&node.keys, at)?;
                let values = self.all(&node.values, at)?;
                Expr::Map(Spanned::new(ast::Map { keys, values }, span))
            }
        })
    }

    fn all(&self, items: &[Expr<'s>], at: Place) -> Result<Vec<Expr<'s>>, Error> {
        items.iter().map(|item| self.expression(item, at)).collect()
    }

    fn operator(&self, node: &Spanned<ast::BinOp<'s>>, at: Place) -> Result<Expr<'s>, Error> {
        let span = node.span();
        let left = self.expression(&node.left, at)?;
        let right = self.expression(&node.right, at)?;
        let kept =
            |op, left, right| Expr::BinOp(Spanned::new(ast::BinOp { op, left, right }, span));
        Ok(match node.op {
            BinOpKind::Eq => self.filter("==", left, vec![right], span),
            BinOpKind::Ne => self.filter("!=", left, vec![right], span),
            BinOpKind::Lt => self.filter("<", left, vec![right], span),
            BinOpKind::Lte => self.filter("<=", left, vec![right], span),
            BinOpKind::Gt => self.filter(">", left, vec![right], span),
            BinOpKind::Gte => self.filter(">=", left, vec![right], span),
            BinOpKind::In => self.filter("in", left, vec![right], span),
            BinOpKind::Add => self.filter("+", left, vec![right], span),
            BinOpKind::Rem => self.filter("%", left, vec![right], span),
            BinOpKind::Concat => self.filter("~", left, vec![right], span),
            BinOpKind::Mul => {
                let product = kept(BinOpKind::Mul, left, right);
                self.filter("settled", product, Vec::new(), span)
            }
            BinOpKind::ScAnd => kept(BinOpKind::ScAnd, left, right),
            BinOpKind::ScOr => kept(BinOpKind::ScOr, left, right),
            BinOpKind::Sub => kept(BinOpKind::Sub, left, right),
            BinOpKind::Div => kept(BinOpKind::Div, left, right),
            BinOpKind::FloorDiv => kept(BinOpKind::FloorDiv, left, right),
            BinOpKind::Pow => kept(BinOpKind::Pow, left, right),
        })
    }

    /// A call; the method it calls keeps its name.
    pub(super) fn call(
        &self,
        node: &Spanned<ast::Call<'s>>,
        at: Place,
    ) -> Result<Spanned<ast::Call<'s>>, Error> {
        let expr = match &node.expr {
            Expr::GetAttr(attribute) => {
                let expr = match &attribute.expr {
                    Expr::Var(of) if of.id == "self" => {
                        Expr::Var(Spanned::new(ast::Var { id: of.id }, of.span()))
                    }
                    of => self.expression(of, at)?,
                };
                let new = ast::GetAttr { expr, name: attribute.name };
                Expr::GetAttr(Spanned::new(new, attribute.span()))
            }
            other => self.expression(other, at)?,
        };
        let args = self.arguments(&node.args, at)?;
        Ok(Spanned::new(ast::Call { expr, args }, node.span()))
    }

    fn arguments(&self, args: &[CallArg<'s>], at: Place) -> Result<Vec<CallArg<'s>>, Error> {
        let one = |arg: &CallArg<'s>| -> Result<CallArg<'s>, Error> {
            Ok(match arg {
                CallArg::Pos(value) => CallArg::Pos(self.expression(value, at)?),
                CallArg::Kwarg(name, value) => CallArg::Kwarg(name, self.expression(value, at)?),
                CallArg::PosSplat(value) => CallArg::PosSplat(self.expression(value, at)?),
                CallArg::KwargSplat(value) => CallArg::KwargSplat(self.expression(value, at)?),
            })
        };
        args.iter().map(one).collect()
    }
}

fn compared(op: CompareOpKind) -> &'static str {
    match op {
        CompareOpKind::Eq => "==",
        CompareOpKind::Ne => "!=",
        CompareOpKind::Lt => "<",
        CompareOpKind::Lte => "<=",
        CompareOpKind::Gt => ">",
        CompareOpKind::Gte => ">=",
        CompareOpKind::In => "in",
        CompareOpKind::NotIn => "not in",
    }
}
