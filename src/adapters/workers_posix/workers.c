/* Threads that take pieces of work off a list, oldest first, and sleep while there are none. */
#include "adapters/workers_posix/workers.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t some, none; /* work is there; nothing is at work any more */
	struct smq_work *first, **end;
	size_t at_work;
	bool over, started;
	size_t threads, wanted;
	pthread_t ids[];
};

size_t smq_workers_processors(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	int count = CPU_COUNT(&set);
	return count < 1 ? 1 : (size_t)count;
}

/* With the lock held, which is let go of meanwhile; false: there is nothing. */
static bool do_one(struct pool *p)
{
	struct smq_work *w = p->first;
	if (!w)
		return false;
	p->first = w->next;
	if (!p->first)
		p->end = &p->first;
	p->at_work++;
	pthread_mutex_unlock(&p->lock);
	w->run(w);
	pthread_mutex_lock(&p->lock);
	if (--p->at_work == 0 && !p->first)
		pthread_cond_broadcast(&p->none);
	return true;
}

static void *worker(void *self)
{
	struct pool *p = self;
	pthread_mutex_lock(&p->lock);
	while (!p->over) {
		if (!do_one(p))
			pthread_cond_wait(&p->some, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* A signal is for the caller's thread, whose loop waits for it. */
static void start_threads(struct pool *p)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (p->threads < p->wanted && pthread_create(&p->ids[p->threads], NULL, worker, p) == 0)
		p->threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Threads begin with the first work: a process that gives up rights before then gives them up for them as well. Where
 * none can be made the caller does it all when it waits. */
static void begin(void *self, struct smq_work *work)
{
	struct pool *p = self;
	if (!p->started)
		start_threads(p);
	p->started = true;
	work->next = NULL;
	pthread_mutex_lock(&p->lock);
	*p->end = work;
	p->end = &work->next;
	pthread_cond_signal(&p->some);
	pthread_mutex_unlock(&p->lock);
}

static void wait_for_all(void *self)
{
	struct pool *p = self;
	pthread_mutex_lock(&p->lock);
	while (do_one(p))
		;
	while (p->at_work > 0)
		pthread_cond_wait(&p->none, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

static void end(void *self)
{
	struct pool *p = self;
	wait_for_all(p);
	pthread_mutex_lock(&p->lock);
	p->over = true;
	pthread_cond_broadcast(&p->some);
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->threads; i++)
		pthread_join(p->ids[i], NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->some);
	pthread_cond_destroy(&p->none);
	free(p);
}

smq_err smq_workers_new(size_t threads, struct smq_workers *ret_workers)
{
	threads = threads < 1 ? 1 : threads > SMQ_WORKERS_MAX ? SMQ_WORKERS_MAX : threads;
	struct pool *p = calloc(1, sizeof(*p) + threads * sizeof(p->ids[0]));
	if (!p)
		return SMQ_ERR_NO_MEMORY;
	p->end = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->some, NULL);
	pthread_cond_init(&p->none, NULL);
	p->wanted = threads;
	*ret_workers = (struct smq_workers){ .self = p, .begin = begin, .wait = wait_for_all, .free = end };
	return SMQ_OK;
}
