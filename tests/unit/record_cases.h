/* What every record store must do, whichever database is behind it. */
#ifndef SMQ_TESTS_RECORD_CASES_H
#define SMQ_TESTS_RECORD_CASES_H

#include "app/record_store.h"

/* A row of sender "a" under a fixed life; readings: 0 to 2 of them. */
struct smq_record_row case_row(uint64_t counter, const char *raw, size_t readings);
void case_stores_once(struct smq_record_store *store);
void case_abandons(struct smq_record_store *store);
void case_answers(struct smq_record_store *store);
void case_quarantines(struct smq_record_store *store);
void case_proves(struct smq_record_store *store);
/* Evidence: once, in the commit and gone with it, and found again. */
void case_keeps(struct smq_record_store *store);
/* Messages stored, by the counts question. */
uint64_t case_count(struct smq_record_store *store);

#endif
