/// What can follow the words of one command: a row of the scripts' own table.
struct CompletionRow {
    struct Value {
        let spelling: String
        let kind: WordKind
        let help: String
    }

    /// `outbox drop`; empty for the program itself.
    let path: String
    let commands: [(name: String, summary: String)]
    let flags: [(spelling: String, help: String)]
    let values: [Value]
    let operands: [WordKind]
    /// Whether the last of the operands may be given again and again.
    let repeats: Bool
    let dashWords: DashWords
}

extension DashWords {
    /// How the scripts name it.
    var code: String {
        switch self {
        case .options: "options"
        case .optionsIfKnown: "known"
        case .operands: "operands"
        }
    }
}
