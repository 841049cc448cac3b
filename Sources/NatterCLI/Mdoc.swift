extension CommandPath {
    /// The SYNOPSIS of this command in mdoc(7): a `.Nm` line, then a line for each word, option and operand. Each ends
    /// with a line break.
    public func synopsisMdoc(program: String) -> String {
        var lines = [".Nm \(Mdoc.escaped(program))"] + names.map { ".Cm \(Mdoc.escaped($0))" }
        lines += command.options.sorted { $0.isRequired && !$1.isRequired }.map(\.mdoc)
        if !command.subcommands.isEmpty {
            lines.append(".Cm " + command.subcommands.map { Mdoc.escaped($0.name) }.joined(separator: " | "))
        }
        let required = command.operands.prefix { !$0.isOptional }
        lines += required.map { ".\($0.mdoc)" }
        let optional = command.operands.dropFirst(required.count)
        // `.Op Ar CONV Op Ar SEQ` nests the second pair of brackets in the first.
        if !optional.isEmpty { lines.append("." + optional.map { "Op \($0.mdoc)" }.joined(separator: " ")) }
        return lines.map { $0 + "\n" }.joined()
    }
}

extension OptionSpec {
    /// `.Op Fl n Ar N`, `.Fl -exec Ar CMD`.
    public var mdoc: String {
        let spelling = spellings.first ?? self.spelling
        let flag = "Fl \(Mdoc.escaped(String(spelling.dropFirst())))"
        let value = choices.isEmpty ? placeholder.map { " Ar \(Mdoc.escaped($0))" } : " " + Mdoc.alternatives(choices)
        return (isRequired ? "." : ".Op ") + flag + (value ?? "") + (isRepeatable ? " ..." : "")
    }
}

extension OperandSpec {
    /// `Ar CONV`, without the brackets of an optional one.
    var mdoc: String {
        (choices.isEmpty ? "Ar \(Mdoc.escaped(name))" : Mdoc.alternatives(choices)) + (isRepeating ? " ..." : "")
    }
}

/// Words as arguments of an mdoc(7) macro line.
enum Mdoc {
    static func alternatives(_ words: [String]) -> String {
        "Cm " + words.map(escaped).joined(separator: " | ")
    }

    /// Keeps a word from being read as an escape, a macro or punctuation.
    static func escaped(_ word: String) -> String {
        var result = ""
        for character in word { result += character == "\\" ? "\\e" : String(character) }
        // Macros have two or three letters, the first a capital: `Ar`, `No`, `Brc`.
        let letters = word.utf8.count
        let isMacroLike =
            (2...3).contains(letters) && word.first?.isUppercase == true && word.dropFirst().allSatisfy(\.isLowercase)
        let isPunctuation = letters == 1 && ".,:;()[]?!|".contains(word)
        if isMacroLike || isPunctuation { return "\\&" + result }
        return result.contains(" ") ? "\"\(result)\"" : result
    }
}
