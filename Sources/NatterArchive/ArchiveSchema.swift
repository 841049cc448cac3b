/// The tables that a server's store and a client's replica have in common: where each block of each conversation lies.
/// All of it can be made again from the log files.
public enum ArchiveSchema {
    /// `conversation` numbers are this database's own, given when a conversation is first met.
    public static let tables = """
        CREATE TABLE segment (
            conversation INTEGER NOT NULL,
            first_seq INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            size INTEGER NOT NULL,
            dictionary BLOB NOT NULL,
            closed INTEGER NOT NULL,
            PRIMARY KEY (conversation, first_seq, generation)
        ) WITHOUT ROWID;
        CREATE TABLE block (
            conversation INTEGER NOT NULL,
            first_seq INTEGER NOT NULL,
            count INTEGER NOT NULL,
            segment_seq INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            offset INTEGER NOT NULL,
            length INTEGER NOT NULL,
            revision INTEGER NOT NULL,
            low_time INTEGER NOT NULL,
            high_time INTEGER NOT NULL,
            last_commit INTEGER NOT NULL,
            PRIMARY KEY (conversation, first_seq)
        ) WITHOUT ROWID;
        CREATE TABLE dictionary (id BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
        """
}
