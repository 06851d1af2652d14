/**
 * Expressions as people write them: whole numbers, + - *, parentheses, blanks, products before sums. What comes out is
 * written with every inner operation in parentheses, as models of arithmetic know it.
 */
import { OptionError } from "../../errors.ts";
import type { Expression } from "./arithmetic.ts";

/** Most operators; deeper nesting than any model here was trained on. */
const MOST_OPERATORS = 64;

/** OptionError that names the first character that does not belong. */
export function parseExpression(text: string): Expression {
  const parser = new ExpressionParser(text);
  const expression = parser.sum();
  parser.expectEnd();
  return expression;
}

class ExpressionParser {
  readonly #text: string;
  #at = 0;
  #operators = 0;

  constructor(text: string) {
    this.#text = text;
  }

  sum(): Expression {
    return this.#chain("+-", () => this.#chain("*", () => this.#operand()));
  }

  expectEnd(): void {
    if (this.#peek() !== "") throw this.#unexpected("an operator or the end");
  }

  /** Operands joined by one of `operators`, from left to right. */
  #chain(operators: string, operand: () => Expression): Expression {
    let left = operand();
    for (let op = this.#peek(); op !== "" && operators.includes(op); op = this.#peek()) {
      this.#at++;
      if (++this.#operators > MOST_OPERATORS) {
        throw new OptionError(
          `expression: expected at most ${MOST_OPERATORS} operators - evaluate it in parts`,
        );
      }
      left = { op, left, right: operand() };
    }
    return left;
  }

  #operand(): Expression {
    const digits = /^\d{1,6}(?!\d)/.exec(this.#text.slice(this.#skipBlanks()))?.[0];
    if (digits !== undefined) {
      this.#at += digits.length;
      return Number(digits);
    }
    if (this.#peek() !== "(") throw this.#unexpected("a number of at most six digits or (");
    this.#at++;
    const inner = this.sum();
    if (this.#peek() !== ")") throw this.#unexpected(")");
    this.#at++;
    return inner;
  }

  #peek(): string {
    return this.#text.charAt(this.#skipBlanks());
  }

  #skipBlanks(): number {
    while (this.#text.charAt(this.#at) === " ") this.#at++;
    return this.#at;
  }

  #unexpected(expected: string): OptionError {
    const found = this.#text.charAt(this.#at);
    const what = found === "" ? "its end" : `"${found}" at character ${this.#at + 1}`;
    return new OptionError(
      `expression: expected ${expected}, got ${what} - only whole numbers, + - * and ( ) are understood`,
    );
  }
}
