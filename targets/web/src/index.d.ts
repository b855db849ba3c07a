export interface Progress { loaded: number; total: number } // bytes
export interface Label { name: string; score: number }
/**
 * cut: the text was longer than the model takes, and a part of it alone was read. scores: all labels, the highest first. chosen: the
 * names of all that hold: the likeliest, or of a model that decides every label by itself those over their threshold.
 */
export interface Labels { label: string; score: number; scores: Label[]; cut: boolean; chosen: string[] }
/** text.slice(start, end), in UTF-16 units as JavaScript counts; score: mean probability of its words' tags. */
export interface Entity { kind: string; text: string; start: number; end: number; score: number }
export interface Entities { entities: Entity[]; cut: boolean }
/** context.slice(start, end), empty where the model may say so and does; score: probability of its start times that of its end. */
export interface Answer { text: string; start: number; end: number; score: number; cut: false }
/** endedBy: stop, max_tokens, positions (the model has no room left) or listener (somebody ended it). */
export interface Generated { text: string; tokens: number[]; promptTokens: number; endedBy: "stop" | "max_tokens" | "positions" | "listener" }
export interface Message { role: "system" | "user" | "assistant"; content: string }
/** What is left out is as the model's folder says. temperature 0 takes the likeliest token each time. */
export interface Writing {
  maxTokens?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  seed?: number;
  /** slide: go on where the model has no position left, with the last half of them. */
  window?: "refuse" | "slide";
  /** Receives the text while it is written; false ends the writing. */
  onText?: (piece: string) => boolean | void;
}
/**
 * model.similarity compares two. weights: of a model for sparse vectors (SPLADE) the same by token, without zeros, the largest first.
 * codes: of a model that is built with --vectors the same in fewer bits, a byte or a bit a dimension.
 */
export interface Vector { values: Float32Array; cut: boolean; weights?: Map<string, number>; codes?: Int8Array | Uint8Array }
/** place: of a text, in the order in which they were added. score: about the cosine or dot product, as the model compares. */
export interface Hit { place: number; score: number }
/** Codes of texts. An index is of one model; its bytes are the same as those of the Python and Java modules. */
export interface VectorIndex {
  readonly size: number;
  add(vector: Vector): number;
  /** rescore: of binary codes so many times `count` are taken by Hamming distance, and ordered by the query's numbers (4); 0: Hamming alone. */
  search(query: Vector, count?: number, rescore?: number): Hit[];
  toBytes(): Uint8Array;
}
/**
 * problem: one sentence, null where ok. Of fp32 and fp16 the largest difference from what was measured is held against the tolerance,
 * of int8 the largest mean over a text's outputs: a browser's rounding moves single ones further.
 */
export interface SelfTest {
  ok: boolean;
  problem: string | null;
  texts: number;
  /** Texts that are asked as text, and those of them whose token ids are the teacher's. */
  idsAsked: number;
  idsEqual: number;
  /** The rest of the texts, which came as token ids. */
  fromIds: number;
  /** Texts that are decided as when the pack was built. */
  answersEqual: number;
  largestDifference: number;
  largestMean: number;
  tolerance: number;
}

/** name: BadInput (a text that the model cannot take), Changed (a file is not the one that was shipped), Closed, or ModuleError. */
export declare class ModuleError extends Error { readonly problem: string; readonly fix: string }

export interface Options {
  /** Where this folder lies on the server; the place of index.js if left out. */
  base?: string | URL;
  /** Of the runtime; up to four if left out. One where the page is not cross-origin isolated. */
  threads?: number;
  onProgress?: (progress: Progress) => void;
}

export interface Model {
  readonly task: "text-classification" | "token-classification" | "question-answering" | "feature-extraction" | "text-generation";
  readonly name: string;
  readonly labels: string[];
  readonly maxLength: number; // tokens
  readonly threads: number;
  /** What the model's vectors are compared by. */
  readonly comparedBy: "cosine" | "dot" | "euclidean" | "manhattan";
  /**
   * A text, or two of a model for pairs; a list of words for token-classification. Labels, Entities or Vector by the task.
   * A question and its context for question-answering; a prompt, or messages, and settings for text-generation.
   * prompt: of a model for vectors, the name of the prompt that stands before the text; its default one if left out, "" for none.
   */
  ask<Result = Labels | Entities | Answer | Vector | Generated>(
    text: string | string[] | Message[], second?: string | { prompt?: string } | Writing,
  ): Promise<Result>;
  /** Of a model that writes: its text piece by piece. Who leaves the loop ends the writing. */
  stream(prompt: string | Message[], settings?: Writing): AsyncGenerator<string, Generated>;
  /** How alike two of the model's vectors are, by cosine, dot product or distance, as its folder states: more is more alike. */
  similarity(first: Vector, second: Vector): number;
  /** Of a model that is built with --vectors: an empty index, or the one of bytes that toBytes gave. */
  index(saved?: Uint8Array | ArrayBuffer): VectorIndex;
  selfTest(): Promise<SelfTest>;
  close(): void;
}

export declare function load(options?: Options): Promise<Model>;
