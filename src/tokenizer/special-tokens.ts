/**
 * Finds tokens that are written out in the text (control tokens such as `<|im_end|>`, user-defined words) and
 * cuts the text there before the model sees it. A trie finds the leftmost, then longest token, as the Hugging
 * Face tokenizers library does, in one pass over the text.
 * Invariant: the parts in order cover the text, less the whitespace that lstrip / rstrip tokens swallow.
 */

export interface SpecialToken {
  readonly id: number;
  readonly content: string;
  /** The token swallows whitespace before it. */
  readonly lstrip: boolean;
  /** The token swallows whitespace after it. */
  readonly rstrip: boolean;
}

/** A stretch of ordinary text, or the id of a special token. */
export type TextPart = string | number;

interface TrieNode {
  readonly children: Map<number, TrieNode>;
  token: SpecialToken | undefined;
}

const createNode = (): TrieNode => ({ children: new Map(), token: undefined });

export class SpecialTokenSplitter {
  private readonly root = createNode();

  constructor(tokens: Iterable<SpecialToken>) {
    for (const token of tokens) {
      if (token.content.length > 0) this.insert(token);
    }
  }

  /** Cuts a text at the special tokens in it. Empty stretches are left out. */
  split(text: string): TextPart[] {
    const parts: TextPart[] = [];
    let partStart = 0;
    for (let at = 0; at < text.length; ) {
      const token = this.longestAt(text, at);
      if (token === undefined) {
        at++;
        continue;
      }
      const before = text.slice(partStart, at);
      const kept = token.lstrip ? before.trimEnd() : before;
      if (kept.length > 0) parts.push(kept);
      parts.push(token.id);
      at += token.content.length;
      if (token.rstrip) at = text.length - text.slice(at).trimStart().length;
      partStart = at;
    }
    if (partStart < text.length) parts.push(text.slice(partStart));
    return parts;
  }

  private insert(token: SpecialToken): void {
    let node = this.root;
    for (let i = 0; i < token.content.length; i++) {
      const unit = token.content.charCodeAt(i);
      let child = node.children.get(unit);
      if (child === undefined) {
        child = createNode();
        node.children.set(unit, child);
      }
      node = child;
    }
    // Duplicate entries exist in real vocabularies; the first id is the one the model was trained with.
    node.token ??= token;
  }

  private longestAt(text: string, at: number): SpecialToken | undefined {
    let node: TrieNode | undefined = this.root;
    let longest: SpecialToken | undefined;
    for (let i = at; i < text.length; i++) {
      node = node.children.get(text.charCodeAt(i));
      if (node === undefined) break;
      longest = node.token ?? longest;
    }
    return longest;
  }
}
