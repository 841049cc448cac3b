internal import NatterModel
internal import NatterSQLite

/// Finds the parts of a text that match a query, to highlight them. Only one thread may use it at a time.
public final class SearchHighlighter {
    private struct Phrase {
        let words: [[UInt8]]
        let isPrefix: Bool
    }

    private let tokenizer: WordTokenizer
    private let phrases: [Phrase]
    private var text = SearchText(keepsPieces: true)

    /// - Throws: `SQLiteError` only if memory is short.
    public init(_ query: SearchQuery) throws {
        let tokenizer = try WordTokenizer()
        var map = SearchText()
        phrases = query.terms.filter { !$0.isNegative }.map { term in
            var text = term.text
            let words = text.withUTF8 { bytes in
                map.withMapped(UnsafeRawBufferPointer(bytes)) { tokenizer.tokens(in: $0).map(\.word) }
            }
            return Phrase(words: words, isPrefix: term.isPrefix)
        }
        self.tokenizer = tokenizer
    }

    /// Finds the words and phrases of the query in a text.
    ///
    /// - Parameter bytes: UTF-8.
    /// - Returns: ranges of the text's bytes. They are whole words, in order, without overlaps.
    public func ranges(in bytes: UnsafeRawBufferPointer) -> [Range<Int>] {
        let tokens = text.withMapped(bytes) { tokenizer.tokens(in: $0) }
        var found: [Range<Int>] = []
        for phrase in phrases where !phrase.words.isEmpty && phrase.words.count <= tokens.count {
            for start in 0...tokens.count - phrase.words.count where matches(phrase, tokens, at: start) {
                let last = tokens[start + phrase.words.count - 1]
                found.append(tokens[start].range.lowerBound..<last.range.upperBound)
            }
        }
        found.sort { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }
        var joined: [Range<Int>] = []
        for range in found {
            let source = sourceStart(range.lowerBound)..<sourceEnd(range.upperBound, in: bytes)
            if let last = joined.last, source.lowerBound < last.upperBound {
                joined[joined.count - 1] = last.lowerBound..<max(last.upperBound, source.upperBound)
            } else {
                joined.append(source)
            }
        }
        return joined
    }

    /// Finds the words and phrases in a string. The ranges count the bytes of its UTF-8.
    public func ranges(in text: String) -> [Range<Int>] {
        var text = text
        return text.withUTF8 { ranges(in: UnsafeRawBufferPointer($0)) }
    }

    private func matches(_ phrase: Phrase, _ tokens: [WordTokenizer.Token], at start: Int) -> Bool {
        for (place, word) in phrase.words.enumerated() {
            let token = tokens[start + place].word
            let matchesBeginning = phrase.isPrefix && place == phrase.words.count - 1
            guard matchesBeginning ? token.starts(with: word) : token == word else { return false }
        }
        return true
    }

    private func sourceStart(_ mapped: Int) -> Int {
        guard let piece = text.pieces[..<endOfPieces(before: mapped + 1)].last else { return mapped }
        return piece.isSame ? piece.source + mapped - piece.mapped : piece.source
    }

    /// - Parameter mapped: the offset after the last byte of a word.
    private func sourceEnd(_ mapped: Int, in bytes: UnsafeRawBufferPointer) -> Int {
        let next = endOfPieces(before: mapped)
        var end = mapped
        if let piece = text.pieces[..<next].last {
            if piece.isSame {
                end = piece.source + mapped - piece.mapped
            } else {
                end = next < text.pieces.count ? text.pieces[next].source : bytes.count
            }
        }
        // Include the marks that the mapping joined with the letter before, or left out.
        while end < bytes.count, let (scalar, length) = SearchText.decode(bytes, at: end),
            SearchText.isMark(scalar) || SearchText.isKanaMark(scalar)
        {
            end += length
        }
        return end
    }

    /// - Returns: how many pieces begin before this offset of the mapped text.
    private func endOfPieces(before place: Int) -> Int {
        text.pieces.indices.partitionPoint { text.pieces[$0].mapped >= place }
    }
}
