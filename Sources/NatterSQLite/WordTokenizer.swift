internal import CSQLite
internal import Glibc

/// SQLite's `unicode61` tokenizer with our settings. It finds the same words in a text as a full-text table.
public final class WordTokenizer {
    /// The settings as the `tokenize` argument of `CREATE VIRTUAL TABLE`. Marks (Mn, Mc) count as parts of words,
    /// because otherwise words in Hindi, Thai and Arabic with vowel signs would be split. Private-use characters (Co)
    /// count too, because they represent emoji.
    public static let setting = "unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
    private static let arguments = ["remove_diacritics", "2", "categories", "L* N* Co Mn Mc"]

    private let connection: Connection
    private let functions: fts5_tokenizer
    private let tokenizer: OpaquePointer

    public init() throws(SQLiteError) {
        connection = try Connection(path: Connection.inMemory, role: .writer)
        // The statement writes to it as it runs.
        let place = UnsafeMutablePointer<UnsafeMutablePointer<fts5_api>?>.allocate(capacity: 1)
        place.initialize(to: nil)
        defer { place.deallocate() }
        let statement = try connection.statement("SELECT fts5(?1)")
        let handle = statement.handle
        let type: StaticString = "fts5_api_ptr"
        let bound = type.withUTF8Buffer { name in
            name.withMemoryRebound(to: CChar.self) {
                sqlite3_bind_pointer(handle, 1, place, $0.baseAddress, nil)
            }
        }
        guard bound == SQLITE_OK else { throw connection.error(bound) }
        _ = try statement.step()
        var functions = fts5_tokenizer()
        var data: UnsafeMutableRawPointer?
        guard let api = place.pointee, let find = api.pointee.xFindTokenizer,
            find(api, "unicode61", &data, &functions) == SQLITE_OK, let create = functions.xCreate
        else { throw connection.error(SQLITE_ERROR) }
        let texts = WordTokenizer.arguments.map { strdup($0) }
        defer { for text in texts { free(text) } }
        var arguments = texts.map { UnsafePointer($0) }
        var tokenizer: OpaquePointer?
        let code = create(data, &arguments, Int32(arguments.count), &tokenizer)
        guard code == SQLITE_OK, let tokenizer else { throw connection.error(code) }
        (self.functions, self.tokenizer) = (functions, tokenizer)
    }

    deinit { functions.xDelete?(tokenizer) }

    public struct Token {
        public let word: [UInt8]
        /// The bytes of the word in the given text.
        public let range: Range<Int>
    }

    /// The words of a text in UTF-8.
    public func tokens(in bytes: UnsafeRawBufferPointer) -> [Token] {
        var tokens: [Token] = []
        withUnsafeMutablePointer(to: &tokens) { tokens in
            _ = functions.xTokenize?(
                tokenizer, UnsafeMutableRawPointer(tokens), FTS5_TOKENIZE_DOCUMENT,
                bytes.bindMemory(to: CChar.self).baseAddress, Int32(clamping: bytes.count),
                { context, _, word, count, start, end in
                    guard count >= 0, start >= 0, start <= end else { return SQLITE_ERROR }
                    // FTS5 ignores the rest of a longer word.
                    let bytes = UnsafeRawBufferPointer(start: word, count: min(Int(count), 32_768))
                    context?.assumingMemoryBound(to: [Token].self).pointee.append(
                        Token(word: Array(bytes), range: Int(start)..<Int(end)))
                    return SQLITE_OK
                })
        }
        return tokens
    }

    /// True if a text in UTF-8 contains a word.
    public func findsWord(in bytes: UnsafeRawBufferPointer) -> Bool {
        var found = false
        _ = functions.xTokenize?(
            tokenizer, &found, FTS5_TOKENIZE_QUERY, bytes.bindMemory(to: CChar.self).baseAddress,
            Int32(clamping: bytes.count),
            { context, _, _, _, _, _ in
                context?.assumingMemoryBound(to: Bool.self).pointee = true
                return SQLITE_DONE
            })
        return found
    }
}
